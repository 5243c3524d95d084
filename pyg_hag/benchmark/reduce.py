"""Time of gradients, other reductions, bfloat16 and threads."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import Rivals
from pyg_hag.benchmark._timing import measure
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

SEVERAL = ["sum", "max", "std"]
HEADER = [
    "graph",
    "F",
    "backward / forward",
    "1 -> 2 threads",
    "bfloat16",
    "+".join(SEVERAL),
    "max / amax",
    "max, training",
]

Ways = dict[str, Callable[[], Any]]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times `aggregate` beyond a float32 sum, on the fastest HAG.

    Returns:
        list[list[str]]: A table of ratios: the time of a sum's gradient over that of
        the sum; and the speedups of two threads over one, bfloat16 over float32, three
        reductions in one call over three calls, the maximum over
        `torch.sparse.mm(..., "amax")`, and maximum and gradient over PyG's layer on
        `edge_index`.
    """
    rows: list[dict[str, Any]] = []
    for name in tqdm(names, "reduce"):
        edge_index, num_nodes = as_one_graph(load_graphs(name, root))
        rivals = Rivals(edge_index, num_nodes)
        for width in widths:
            x = torch.randn(num_nodes, width)
            hag = build_hag(edge_index, num_nodes, num_features=width)
            groups = _inference(x, hag, rivals)
            groups["training"] = _training(x, hag, rivals)
            row: dict[str, Any] = {"graph": name, "width": width}
            for group, ways in groups.items():
                with torch.set_grad_enabled(group == "training"):
                    times = measure(ways, budget=2.0 if group != "training" else 6.0)
                first, *others = times
                row[f"milliseconds {first}"] = 1e3 * times[first].median
                for other in others:
                    row[f"milliseconds {other}"] = 1e3 * times[other].median
                    row[f"{other} / {first}"] = times[first].speedup_over(times[other])
            rows.append(row)
    if out is not None:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def _inference(x: Tensor, hag: HAG, rivals: Rivals) -> dict[str, Ways]:
    narrow = x.bfloat16()
    transposed = hag.t()
    total = partial(aggregate, x, hag)
    return {
        "gradient": {"sum": total, "gradient": partial(aggregate, x, transposed)},
        "threads": {
            "two threads": partial(_on_threads, 2, total),
            "one thread": partial(_on_threads, 1, total),
        },
        "narrow": {"bfloat16": partial(aggregate, narrow, hag), "float32": total},
        "several": {
            "together": partial(aggregate, x, hag, SEVERAL),
            "apart": lambda: [aggregate(x, hag, reduce) for reduce in SEVERAL],
        },
        "max": {
            "max": partial(aggregate, x, hag, "max"),
            "amax": partial(rivals.sparse_reduce, x, "max"),
        },
    }


def _training(x: Tensor, hag: HAG, rivals: Rivals) -> Ways:
    grad = torch.randn_like(x)

    def step(forward: Callable[[Tensor], Tensor]) -> Tensor | None:
        leaf = x.detach().requires_grad_()
        forward(leaf).backward(grad)
        return leaf.grad

    ways: Ways = {"max trained": partial(step, lambda x: aggregate(x, hag, "max"))}
    if rivals.messages_fit(x):
        ways["PyG"] = partial(step, lambda x: rivals.pyg(x, "max"))
    return ways


def _on_threads(count: int, call: Callable[[], Any]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        call()
    finally:
        torch.set_num_threads(before)


def _cells(row: dict[str, Any]) -> list[str]:
    gradient = row["gradient / sum"]
    ratios = [
        row["one thread / two threads"],
        row["float32 / bfloat16"],
        row["apart / together"],
        row["amax / max"],
        row.get("PyG / max trained"),
    ]
    cells = [f"{r:.2f}x" if r is not None else "-" for r in ratios]
    return [row["graph"], str(row["width"]), f"{gradient:.2f}", *cells]
