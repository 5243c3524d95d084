"""Finds graphs among the arguments of a layer, and replaces them by HAGs."""

import inspect

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from pyg_hag import build_hag

NAMES = ("edge_index", "adj", "adj_t", "hyperedge_index", "edge_index_dict")
PREFIXES = ("pos_", "neg_")
OPTIONS = {
    "aggregations": {"objective": "aggregations"},
    "plain": {"capacity": 0},
    "signed": {"objective": "aggregations", "subtract": True},
}
"""The HAGs of each graph, by the options of `build_hag`."""


def is_matrix(value):
    """Whether a value is an adjacency matrix."""
    if isinstance(value, SparseTensor):
        return True
    if not isinstance(value, Tensor) or not is_torch_sparse_tensor(value):
        return False
    return value.dim() - value.dense_dim() == 2


def is_graph(value):
    """Whether a value is an `edge_index` or an adjacency matrix."""
    if is_matrix(value):
        return True
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.dtype in (torch.int32, torch.int64)
        and value.dim() == 2
        and value.size(0) == 2
    )


def is_graphs(value):
    """Whether a value is a dictionary of graphs by edge types."""
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(key, tuple) and len(key) == 3 for key in value)
        and all(is_graph(item) for item in value.values())
    )


def bind(module, args, kwargs):
    """The arguments by name, or None if they do not fit (the layer raises then)."""
    try:
        return inspect.signature(module.forward).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None


def has_graph(bound):
    """Whether there is a graph among the arguments."""
    found = False

    def note(value, _):
        nonlocal found
        found = True
        return value

    _map_graphs(bound, note)
    return found


def with_hags(module, bound, options):
    """The arguments and keywords of a call, with HAGs in place of graphs."""

    def to_hag_of(value, key):
        if is_matrix(value):
            return build_hag(value, **options)
        size = _size(module, bound, value, key)
        if isinstance(value, EdgeIndex) and None not in value.sparse_size():
            size = None  # it has its own
        return build_hag(value, size=size, **options)

    made = _map_graphs(bound, to_hag_of)
    return made.args, made.kwargs


def with_edges(bound):
    """The arguments and keywords of a call, with edges in place of matrices.

    Returns:
        tuple: These, or None if there is no matrix or one with values.
    """
    sizes = []

    def edges_of(value, _):
        if not is_matrix(value):
            return value
        if isinstance(value, SparseTensor):
            dst, src, values = value.coo()
            sizes.append(value.sparse_sizes()[::-1])
        else:
            matrix = value.detach().to_sparse_coo().coalesce()
            (dst, src), values = matrix.indices(), matrix.values()
            sizes.append(tuple(matrix.shape[1::-1]))
        if values is not None and not bool((values == 1).all()):
            sizes.append(None)
        return torch.stack([src, dst])

    made = _map_graphs(bound, edges_of)
    if not sizes or None in sizes:
        return None
    if "size" in bound.signature.parameters and made.arguments.get("size") is None:
        made.arguments["size"] = sizes[0]
    return made.args, made.kwargs


def _map_graphs(bound, function):
    """Bound arguments in which each graph is a function of it and of its key."""
    made = inspect.BoundArguments(bound.signature, dict(bound.arguments))
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            made.arguments[name] = tuple(_mapped(v, name, function) for v in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            made.arguments[name] = {
                key: _mapped(item, key, function) if _is_named(key) else item
                for key, item in value.items()
            }
        elif _is_named(name):
            made.arguments[name] = _mapped(value, name, function)
    return made


def _is_named(name):
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name in NAMES


def _mapped(value, name, function):
    if is_graph(value):
        return function(value, name)
    if is_graphs(value):
        return {key: function(item, key) for key, item in value.items()}
    return value


def _size(module, bound, edge_index, key):
    """`(num_src, num_dst)` of the graph, as PyG's layers infer it."""
    found = edge_index.max(1).values + 1 if edge_index.numel() else [0, 0]
    least = tuple(int(n) for n in found)
    given = bound.arguments
    if key == "hyperedge_index":
        num_edges = given.get("num_edges")
        num_nodes = _num_nodes(module, given.get("x"))[0]
        return num_nodes, least[1] if num_edges is None else num_edges
    features = _features(bound, key)
    known = _num_nodes(module, features)
    size = given.get("size") or (None, None)
    size = [a if a is not None else b for a, b in zip(size, known, strict=True)]
    if size == [None, None]:
        size = _numbers_of(module)
    if size == [None, None]:
        return max(least), max(least)
    n, m = size
    if n is None:
        n = _numbers_of(module)[0] or max(m, least[0])
    return (n, n) if m is None else (n, m)


def _numbers_of(module):
    """The numbers of nodes that a layer with an embedding of them knows."""
    for name in ("num_nodes", "in_channels"):  # that of RGCN, without `x`
        number = getattr(module, name, None)
        if isinstance(number, int):
            return [number, number]
        if isinstance(number, tuple):
            return [*number]
    return [None, None]


def _features(bound, key):
    """What tells the number of nodes: a tensor, or a pair for the two ends."""
    given = bound.arguments
    kinds = {name: p.kind for name, p in bound.signature.parameters.items()}
    values = []
    for name, value in given.items():
        if name.startswith("edge_"):  # has a row for each edge
            continue
        is_list = kinds[name] is inspect.Parameter.VAR_POSITIONAL
        values += value if is_list else [value]
    if isinstance(key, tuple):  # of a heterogeneous graph
        for nodes in values:
            if isinstance(nodes, dict) and {key[0], key[2]} <= {*nodes}:
                return nodes[key[0]], nodes[key[2]]
        return None
    named = [given.get("x"), given.get("pos")]
    if "x" in kinds or "pos" in kinds:
        return next((value for value in named if value is not None), None)
    return next((value for value in values if _has_features(value)), None)


def _has_features(value):
    if isinstance(value, tuple | list):
        return any(isinstance(v, Tensor) and not is_graph(v) for v in value[:2])
    return isinstance(value, Tensor) and not is_graph(value)


def _num_nodes(module, features):
    if features is None:
        return None, None
    if isinstance(features, Tensor):
        n = _length(module, features)
        return n, n
    pair = [v if isinstance(v, Tensor) else None for v in (*features, None)[:2]]
    return tuple(None if v is None else _length(module, v) for v in pair)


def _length(module, x):
    dim = getattr(module, "node_dim", -2)
    if dim < 0:
        dim += x.dim()
    return x.size(max(dim, 0))
