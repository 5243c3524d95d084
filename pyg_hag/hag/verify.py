"""Checks that tensors describe a HAG, and proofs that a HAG represents a graph."""

from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from pyg_hag.graph.checks import MAX_NODES, check_edge_index
from pyg_hag.hag import structure
from pyg_hag.hag.arrays import Flat
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.hag.host import HostHAG
from pyg_hag.utils.arrays import I64
from pyg_hag.utils.checks import whole_number

FAULTS = {
    structure.NEGATIVE_COUNT: "a count is negative (row or group {})",
    structure.WRONG_TOTAL: "the counts do not add up to the lengths of the tensors",
    structure.SRC_RANGE: "'src[{}]' is not a source",
    structure.DST_RANGE: "'dst[{}]' is not a destination",
    structure.DST_TWICE: "'dst' lists destination {} twice",
    structure.AGG_ORDER: "'agg[{}]' is not an earlier aggregate of its group",
    structure.SHARED_SRC: "source {} is read by two groups",
    structure.EMPTY_AGG: "aggregate {} has no inputs",
    structure.UNUSED_AGG: "aggregate {} is read by no row",
    structure.MINUS_RANGE: "row {} subtracts more inputs than it has",
}
"""Descriptions of the faults that :func:`pyg_hag.hag.structure.check` finds."""


def check_num_src(num_src: object) -> int:
    """Checks a number of sources and returns it.

    Raises:
        TypeError: If it is not an int.
        ValueError: If it is out of range.
    """
    number = whole_number(num_src)
    if number is None:
        raise TypeError(f"'num_src' must be an int (got {num_src!r})")
    if not 0 <= number <= MAX_NODES:
        raise ValueError(f"'num_src' must be in [0, 2**31) (got {num_src})")
    return number


def check_weights(weights: Any, num_src: int, num_dst: int, num_edges: int) -> None:
    """Checks weights of edges that come from a file or a pickle.

    Raises:
        TypeError: If they are not floating-point vectors.
        ValueError: If they have the wrong sizes.
    """
    *values, of_paths = weights
    a, b, edge_weight, *flags = values
    if of_paths:
        if weights not in (EdgeWeights.counts(), EdgeWeights.cover()):
            raise ValueError(
                f"'weights' of paths must be a count or a cover (got {of_paths!r})"
            )
        return
    factored = edge_weight is None
    wrong = (a is None) is factored or (b is None) is factored
    if wrong or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError("'weights' must be two factors, or a weight for each edge")
    for name, vector, size in (
        ("src_scale", a, num_src),
        ("dst_scale", b, num_dst),
        ("edge_weight", edge_weight, num_edges),
    ):
        if vector is None:
            continue
        if not isinstance(vector, Tensor) or not vector.is_floating_point():
            raise TypeError(f"'{name}' must be a floating-point tensor")
        if vector.shape != (size,):
            raise ValueError(
                f"'{name}' must have shape [{size}] (got {list(vector.shape)})"
            )


def check_lengths(num_dst: int, num_groups: int, num_aggs: int) -> None:
    """Raises a ValueError where numbers would not fit into 32 bits."""
    for name, count in (
        ("destinations", num_dst),
        ("groups", num_groups),
        ("aggregates", num_aggs),
    ):
        if count > MAX_NODES:
            raise ValueError(
                f"the HAG has {count:,} {name}, but at most {MAX_NODES:,} are "
                f"supported: cut the graph into parts"
            )


def check_vectors(tensors: dict[str, object]) -> None:
    """Checks that all are one-dimensional int64 tensors on one device.

    Raises:
        TypeError: If one is not such a tensor.
        ValueError: If they are on different devices.
    """
    device = None
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"'{name}' must be a torch.Tensor (got {type(tensor).__name__})"
            )
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise TypeError(
                f"'{name}' must be a dense tensor with values (got {tensor.layout} on "
                f"{tensor.device}): call '.to_dense()', or load it onto a real device"
            )
        if tensor.dim() != 1 or tensor.dtype != torch.int64:
            raise TypeError(
                f"'{name}' must be a one-dimensional int64 tensor (got "
                f"{tensor.dtype} of shape {list(tensor.shape)})"
            )
        device = device or tensor.device
        if tensor.device != device:
            raise ValueError(
                f"'{name}' is on {tensor.device}, but '{next(iter(tensors))}' is on "
                f"{device}: move all tensors to one device"
            )


def check_structure(num_src: int, flat: Flat, sequential: bool) -> None:
    """Raises a ValueError unless flat arrays describe a HAG.

    Args:
        num_src: Number of sources.
        flat: The flat arrays.
        sequential: Whether they must describe a sequential HAG.
    """
    fault, where = _first_fault(num_src, flat)
    if fault != structure.OK:
        reason = FAULTS[fault].format(where)
        raise ValueError(
            f"the tensors are not a HAG: {reason}; use 'build_hag' to build one"
        )
    if sequential and flat.agg_count.max(initial=0) > 1:
        row = int(flat.agg_count.argmax())
        raise ValueError(
            f"the tensors are not a sequential HAG: row {row} reads "
            f"{flat.agg_count[row]} aggregates, but only one can come first; use "
            f"'build_hag' with order='sequential' to build one"
        )
    if sequential and flat.src_minus.size > 0:
        raise ValueError(
            "the tensors are not a sequential HAG: 'src_minus' is not empty, but "
            "sequential aggregations cannot be subtracted"
        )


def _first_fault(num_src: int, flat: Flat) -> tuple[int, int]:
    """The first fault and its place, with memory for the sources that are read only."""
    if num_src <= 4 * flat.src.size + 1000:
        fault, where = structure.check(num_src, flat, np.zeros(num_src, np.int32))
        return fault, where
    used, numbers = np.unique(flat.src, return_inverse=True)
    wrong = (flat.src < 0) | (flat.src >= num_src)
    if wrong.any():
        return structure.SRC_RANGE, int(wrong.argmax())
    owner = np.zeros(used.size, np.int32)
    fault, where = structure.check(used.size, flat._replace(src=numbers), owner)
    return fault, int(used[where]) if fault == structure.SHARED_SRC else where


def prove_single_paths(hag: HostHAG, max_edges: int | None) -> None:
    """Raises a ValueError if an unsigned HAG has two paths with the same ends."""
    u, v = hag.repeated_path(max_edges)
    if u >= 0:
        _raise_repeated(u, v)


def prove_single_edges(src: I64, dst: I64) -> None:
    """Raises a ValueError if one of the sorted edges equals the one before it."""
    equal = ((src[1:] == src[:-1]) & (dst[1:] == dst[:-1])).nonzero()[0]
    if equal.size > 0:
        _raise_repeated(int(src[equal[0]]), int(dst[equal[0]]))


def _raise_repeated(u: int, v: int) -> NoReturn:
    raise ValueError(
        f"the HAG has more than one path from source {u} to destination {v}; if "
        f"the graph has duplicate edges, pass it as 'edge_index'"
    )


def prove_equal(
    hag: HostHAG, edge_index: Tensor, max_edges: int | None, of_paths: str = ""
) -> None:
    """Raises a ValueError unless each edge is exactly one path, without other paths.

    If paths with the same ends are one edge: unless each edge is at least one path.
    """
    wanted = check_edge_index(edge_index, (hag.num_src, hag.num_dst)).cpu().numpy()
    paths = hag.distinct.degree if of_paths else hag.paths.degree
    degree = np.bincount(wanted[1], minlength=hag.num_dst)
    wrong = (degree != paths).nonzero()[0]
    if wrong.size > 0:
        v = int(wrong[0])
        raise ValueError(
            f"destination {v} has {degree[v]} edges in 'edge_index', but {paths[v]} "
            f"{'edges' if of_paths else 'paths'} in the HAG"
        )
    wanted = wanted[:, np.lexsort((wanted[0], wanted[1]))]
    if max_edges is None and (of_paths or not hag.is_signed):
        max_edges = wanted.shape[1]  # as many as there are
    if of_paths:
        found, _ = hag.distinct_edges(max_edges)
    else:
        found = hag.edge_index(max_edges)
    different = (wanted != found).any(0).nonzero()[0]
    if different.size > 0:
        u, v = wanted[:, different[0]].tolist()
        raise ValueError(
            f"the paths into destination {v} are not its edges in 'edge_index': the "
            f"first difference is at edge ({u}, {v})"
        )
