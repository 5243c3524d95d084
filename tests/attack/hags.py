"""One small HAG of each kind, and what may be done with one that a stranger made."""

import torch
from graphs import clique, edge_index_of, near_cliques, random_graph
from torch_geometric.utils import to_torch_csr_tensor

from pyg_hag import HAG, aggregate, build_hag

CLIQUES = edge_index_of([*clique(range(6)), *clique(range(6, 11)), (0, 8), (9, 9)])
FEWEST = {"objective": "aggregations"}


def weighted(size):
    """A matrix whose values have factors, or, if there are no aggregates, have none."""
    edge_index, _ = random_graph(3, size, size, 0.4)
    a, b = torch.rand(size) + 0.5, torch.rand(size) + 0.5
    values = a[edge_index[0]] * b[edge_index[1]]
    return to_torch_csr_tensor(edge_index, values, (size, size))


def of_edges(size):
    matrix = weighted(size)
    return torch.sparse_csr_tensor(
        matrix.crow_indices(), matrix.col_indices(), torch.rand_like(matrix.values())
    )


def _sized(graph):
    return graph[0], graph[1][0]


torch.manual_seed(5)
KINDS = {
    "set": build_hag(CLIQUES, 11, **FEWEST),
    "plain": build_hag(CLIQUES, 11, capacity=0),
    "sequential": build_hag(CLIQUES, 11, order="sequential"),
    "signed": build_hag(*_sized(near_cliques(0, 2, 6)), subtract=True, **FEWEST),
    "factors": build_hag(weighted(9), **FEWEST),
    "edge weights": build_hag(of_edges(9), capacity=0),
    "empty": build_hag(torch.empty(2, 0, dtype=torch.long), 0),
}


def use(hag):
    """Does everything with a HAG that a stranger may have made; errors are fine."""
    assert isinstance(hag, HAG)
    for attempt in (
        lambda: aggregate(torch.ones(hag.num_src, 3), hag),
        lambda: aggregate(torch.ones(hag.num_src, 20, requires_grad=True), hag),
        lambda: aggregate(torch.ones(hag.num_src, 5), hag, "max"),
        hag.to_edge_index,
        hag.validate,
        hag.t,
        lambda: hag.self_loops,
        lambda: repr(hag),
        hag.closed,
    ):
        if hag.num_src > 10**6 or hag.num_dst > 10**6:
            break
        try:
            out = attempt()
            if isinstance(out, torch.Tensor) and out.requires_grad:
                out.sum().backward()
        except (ValueError, TypeError, RuntimeError, MemoryError):
            pass
