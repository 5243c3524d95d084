"""How long one aggregation takes, next to PyTorch's and PyG's ways."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import scatter
from tqdm import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._timing import measure
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

BASELINE = "embedding_bag"
MOST_MESSAGE_BYTES = 4 << 30  # of edges x features, which PyG's edge_index path makes


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times the sum over all neighbours, float32, forward.

    Returns:
        list[list[str]]: A table: milliseconds of `F.embedding_bag` (median), and how
        many times faster than it the others are (median of the rounds).
    """
    rows: list[dict[str, Any]] = []
    with torch.no_grad():
        for name in tqdm(names, "aggregate"):
            edge_index, num_nodes = as_one_graph(load_graphs(name, root))
            hag = build_hag(edge_index, num_nodes)
            plain = build_hag(edge_index, num_nodes, capacity=0)
            for width in widths:
                x = torch.randn(num_nodes, width)
                rivals = _rivals(x, edge_index)
                rivals["plain HAG"] = partial(aggregate, x, plain)
                rivals["HAG"] = partial(aggregate, x, hag)
                rows += _rows(name, width, rivals)
    if out is not None:
        write_csv(out, rows)
    return _table(rows)


def _rivals(x: Tensor, edge_index: Tensor) -> dict[str, Callable[[], Any]]:
    num_nodes = x.size(0)
    order = edge_index[1].argsort(stable=True)
    col = edge_index[0][order]
    ptr = torch.zeros(num_nodes + 1, dtype=torch.long)
    ptr[1:] = torch.bincount(edge_index[1], minlength=num_nodes).cumsum(0)
    ones = torch.ones(col.numel())
    adjacency = torch.sparse_csr_tensor(
        ptr, col, ones, (num_nodes, num_nodes), check_invariants=False
    )
    rivals: dict[str, Callable[[], Any]] = {
        BASELINE: lambda: F.embedding_bag(
            col, x, ptr, mode="sum", include_last_offset=True
        ),
        "CSR @": lambda: adjacency @ x,
        "copy of x": lambda: x.clone(),
    }
    if col.numel() * x.size(1) * x.element_size() <= MOST_MESSAGE_BYTES:
        rivals["edge_index"] = lambda: scatter(
            x.index_select(0, edge_index[0]), edge_index[1], 0, num_nodes
        )
    return rivals


def _rows(
    name: str, width: int, rivals: dict[str, Callable[[], Any]]
) -> list[dict[str, Any]]:
    times = measure(rivals)
    return [
        {
            "graph": name,
            "width": width,
            "rival": rival,
            "milliseconds_20": 1e3 * t.quantile(20),
            "milliseconds_50": 1e3 * t.median,
            "milliseconds_80": 1e3 * t.quantile(80),
            "speedup": t.speedup_over(times[BASELINE]),
        }
        for rival, t in times.items()
    ]


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    others = ["edge_index", "CSR @", "plain HAG", "HAG", "copy of x"]
    table = [["graph", "F", f"{BASELINE} ms", *others]]
    by_case: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        case = by_case.setdefault((row["graph"], row["width"]), {})
        case[row["rival"]] = row
    for (name, width), case in by_case.items():
        cells = [f"{case[o]['speedup']:.2f}x" if o in case else "-" for o in others]
        base = case[BASELINE]["milliseconds_50"]
        table.append([name, str(width), f"{base:.2f}", *cells])
    return table
