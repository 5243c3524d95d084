"""Compares what two runs of a layer returned."""

import torch
from torch import Tensor
from torch_geometric.typing import SparseTensor

from pyg_suite.graphs import is_graph, is_matrix

TOLERANCES = {
    torch.float64: 1e-9,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}
"""The largest difference allowed, relative to the largest value or to 1."""


def difference(got, expected, where="output", factor=1.0):
    """What differs between two results, in words, or None if nothing does.

    Tolerances are multiplied by a factor.
    """
    if isinstance(expected, Tensor):
        return _tensor_difference(got, expected, where, factor)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or {*got} != {*expected}:
            return f"{where}: {_kind(got)} instead of {_kind(expected)}"
        parts = [(got[key], expected[key], key) for key in expected]
    elif isinstance(expected, tuple | list):
        if not isinstance(got, tuple | list) or len(got) != len(expected):
            return f"{where}: {_kind(got)} instead of {_kind(expected)}"
        parts = zip(got, expected, range(len(got)), strict=True)
    elif isinstance(expected, int | float | str | bool | type(None)):
        same = got is expected or got == expected
        return None if same else f"{where}: {got!r} instead of {expected!r}"
    elif hasattr(expected, "to_dict"):  # a `Data` object
        return difference(got.to_dict(), expected.to_dict(), where, factor)
    else:
        same = type(got) is type(expected)
        return None if same else f"{where}: {_kind(got)} instead of {_kind(expected)}"
    found = (difference(a, b, f"{where}[{key!r}]", factor) for a, b, key in parts)
    return next((text for text in found if text), None)


def _kind(value):
    if isinstance(value, dict):
        return f"a dict of {sorted(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _tensor_difference(got, expected, where, factor):
    if not isinstance(got, Tensor):
        return f"{where}: {_kind(got)} instead of a tensor"
    if got.shape != expected.shape:
        return f"{where}: shape {[*got.shape]} instead of {[*expected.shape]}"
    if got.dtype != expected.dtype:
        return f"{where}: {got.dtype} instead of {expected.dtype}"
    got, expected = (_dense(tensor.detach()) for tensor in (got, expected))
    tolerance = factor * TOLERANCES.get(got.dtype, 0.0)
    got, expected = got.double(), expected.double()
    finite = expected.isfinite()
    if not torch.equal(
        got[~finite].nan_to_num(2.0, 1.0, -1.0),
        expected[~finite].nan_to_num(2.0, 1.0, -1.0),
    ):
        return f"{where}: other infinities or NaNs"
    error = (got - expected)[finite].abs()
    if error.numel() == 0:
        return None
    allowed = tolerance * max(1.0, float(expected[finite].abs().max()))
    worst = float(error.max())
    if worst <= allowed:
        return None
    return f"{where}: off by {worst:.3g}, where {allowed:.3g} is allowed"


def canonical(value):
    """A result in which matrices, and pairs of edges and values, are sorted edges.

    Of a matrix, a layer on a HAG returns the edges.
    """
    if isinstance(value, SparseTensor):
        dst, src, values = value.coo()
        return _sorted_edges(torch.stack([src, dst]), values)
    if is_matrix(value):
        matrix = value.to_sparse_coo().coalesce()
        dst, src = matrix.indices()
        return _sorted_edges(torch.stack([src, dst]), matrix.values())
    if type(value) in (tuple, list):
        if len(value) == 2 and is_matrix(value[0]):
            return canonical(value[0])  # which holds the values
        if _are_edges(value):
            return _sorted_edges(*value)
        return type(value)(canonical(item) for item in value)
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    return value


def _dense(tensor):
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _are_edges(value):
    """Whether a value is a pair of edges and what each of them has."""
    return (
        len(value) == 2
        and is_graph(value[0])
        and isinstance(value[1], Tensor)
        and value[1].dim() > 0
        and value[1].size(0) == value[0].size(1)
    )


def _sorted_edges(edge_index, values):
    order = torch.argsort(edge_index[0], stable=True)
    order = order[torch.argsort(edge_index[1][order], stable=True)]
    values = None if values is None else values[order]
    return edge_index[:, order], values
