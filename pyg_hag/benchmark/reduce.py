"""Time of gradients, other reductions, bfloat16 and threads."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._report import Rows, Table, grouped, times
from pyg_hag.benchmark._rivals import Rivals
from pyg_hag.benchmark.case import Case
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

SEVERAL = ["sum", "max", "std"]
COLUMNS = {
    "sum": "backward / forward",
    "two threads": "1 -> 2 threads",
    "bfloat16": "bfloat16",
    "together": "+".join(SEVERAL),
    "max": "max / amax",
    "max, training": "max, training",
}
"""The contender of each column of the table."""


def cases(settings: Settings) -> Iterator[Case]:
    """What `aggregate` does beyond a float32 sum, on the fastest HAG."""
    for name in graph_names(settings):
        edge_index, num_nodes = load_one(name, settings)
        rivals = Rivals(edge_index, num_nodes)
        for width in settings.widths_or(WIDTHS):
            x = torch.randn(num_nodes, width)
            hag = build_hag(edge_index, num_nodes, num_features=width)
            labels = {"graph": name, "width": width}
            yield from _inference(labels, x, hag, rivals)
            yield _training(labels, x, hag, rivals)


def _inference(
    labels: dict[str, Any], x: Tensor, hag: HAG, rivals: Rivals
) -> Iterator[Case]:
    total = partial(aggregate, x, hag)
    gradient = partial(aggregate, x, hag.t())
    yield Case(
        {**labels, "what": "gradient"},
        {"gradient": gradient, "sum": total},
        "gradient",
        wanted={"sum": None},
        budget=2.0,
    )
    yield Case(
        {**labels, "what": "threads"},
        {
            "one thread": partial(_on_threads, 1, total),
            "two threads": partial(_on_threads, 2, total),
        },
        "one thread",
        budget=2.0,
    )
    narrow = partial(aggregate, x.bfloat16(), hag)
    yield Case(
        {**labels, "what": "bfloat16"},
        {"float32": total, "bfloat16": narrow},
        "float32",
        tolerance=2e-2,
        budget=2.0,
    )
    yield Case(
        {**labels, "what": "several"},
        {
            "apart": lambda: [aggregate(x, hag, reduce) for reduce in SEVERAL],
            "together": lambda: [*aggregate(x, hag, SEVERAL).split(x.size(1), 1)],
        },
        "apart",
        tolerance=1e-3,
        budget=2.0,
    )
    yield Case(
        {**labels, "what": "max"},
        {
            "amax": partial(rivals.sparse_reduce, x, "max"),
            "max": partial(aggregate, x, hag, "max"),
        },
        "amax",
        budget=2.0,
    )


def _training(labels: dict[str, Any], x: Tensor, hag: HAG, rivals: Rivals) -> Case:
    grad = torch.randn_like(x)

    def step(forward: Callable[[Tensor], Tensor]) -> Tensor | None:
        leaf = x.detach().requires_grad_()
        forward(leaf).backward(grad)
        return leaf.grad

    ours = "max, training"
    ways = {ours: partial(step, lambda x: aggregate(x, hag, "max"))}
    if rivals.messages_fit(x):
        ways["PyG"] = partial(step, lambda x: rivals.pyg(x, "max"))
    return Case(
        {**labels, "what": "max, forward and backward"},
        ways,
        "PyG" if "PyG" in ways else ours,
        gradients=True,
        budget=6.0,
    )


def _on_threads(count: int, call: Callable[[], Any]) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return call()
    finally:
        torch.set_num_threads(before)


def table(rows: Rows) -> Table:
    """The ratios of each graph and width."""
    lines = [["graph", "F", *COLUMNS.values()]]
    for (name, width), group in grouped(rows, "graph", "width").items():
        ratios = {
            row["contender"]: row["speedup_50"]
            for row in group
            if row["contender"] != row["baseline"]
        }
        cells = [times(ratios.get(contender)) for contender in COLUMNS]
        cells[0] = f"{ratios['sum']:.2f}"
        lines.append([name, str(width), *cells])
    return lines


BENCHMARK = Benchmark(
    "reduce",
    "`aggregate` beyond a float32 sum, on the fastest HAG: the time of a sum's "
    "gradient over that of the sum; and the speedups of two threads over one, bfloat16 "
    f"over float32, {', '.join(SEVERAL)} in one call over three calls, the maximum "
    'over `torch.sparse.mm(..., "amax")`, and maximum and gradient over PyG\'s layer '
    "on `edge_index` (`-`: its messages take more than 4 GiB).",
    of_cases(cases),
    table,
)
