"""Time of a sum over all neighbours on a GPU, compared with PyTorch and PyG.

The forward pass alone, and with the gradient.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import SimpleConv
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.benchmark._device_timing import Call, copies_of, measure_calls
from pyg_hag.benchmark._graphs import graph_names, load_one
from pyg_hag.benchmark._plots import add_legend
from pyg_hag.benchmark._report import Rows, Table, by_contender, times
from pyg_hag.benchmark._rivals import BASELINE, Rivals
from pyg_hag.benchmark.case import Case
from pyg_hag.datasets import GENERATED, as_one_graph, load_graphs
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.utils.figures import new_figure, save_figure

GRAPHS = ["COLLAB", "cnr-2000", "HeCo_DBLP_APCPA", "cornell5", "Reddit-sized", "Cora"]
WIDTHS = [16, 64, 128, 256]
PYG = ("edge_index", "CSR", "compiled")
"""PyG's own ways; the HAG is compared with the fastest of them."""
COPY = "copy of x"
COLORS = {"edge_index": "0.75", "CSR": "0.5", "compiled": "0.25", BASELINE: "tab:blue"}
Prepared = dict[str, "Future[Rivals]"]
"""Graphs that a thread generates in the meantime, which takes minutes."""

HEADER = [
    *("graph", "F", "pass", "HAG ms", "over best PyG"),
    *("over CSR", "plain over CSR", "over embedding_bag", "of copy"),
]


def measure(
    settings: Settings, budget: float = 2.0, prepared: Prepared | None = None
) -> Iterator[Rows]:
    """Times sums in float32 on a device; generated graphs are measured last.

    Args:
        settings: The graphs, the widths and the device.
        budget: Seconds for each graph, width and pass.
        prepared: The result of :func:`prepare`, if that was called before.
    """
    device = settings.device or "cuda"
    check_device(device)
    names = graph_names(settings, GRAPHS)
    compiled = None
    if device == "cuda":
        # One program for all sizes: one for each would take minutes to compile, and
        # PyTorch stops compiling after eight.
        torch.compiler.reset()
        compiled = torch.compile(SimpleConv(aggr="sum"), dynamic=True)
    prepared = prepare(names) if prepared is None else prepared
    for name in tqdm(sorted(names, key=lambda name: name in prepared), "aggregate"):
        if name in prepared:
            rivals = prepared.pop(name).result()
        else:
            rivals = Rivals(*load_one(name, settings))
        edge_index, num_nodes = rivals.edge_index, rivals.num_nodes
        rivals = rivals.to(device)
        plain = hag = build_hag(edge_index, num_nodes, capacity=0).to(device)
        for width in settings.widths_or(WIDTHS):
            if name not in GENERATED:  # nothing in these is worth sharing
                hag = build_hag(edge_index, num_nodes, num_features=width).to(device)
            hags = {"plain HAG": plain, "HAG": hag}
            for trained in (False, True):
                labels = {"graph": name, "width": width, "trained": trained}
                yield _timed(labels, rivals, hags, compiled, device, budget)


def check_device(device: str) -> None:
    """Checks that PyTorch has a device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("'--device' is cuda, but PyTorch sees no GPU: use cpu")


def prepare(names: list[str]) -> Prepared:
    """Starts a thread that generates the graphs of :data:`GENERATED`."""
    pool = ThreadPoolExecutor(1)
    prepared = {
        name: pool.submit(_generated, name) for name in names if name in GENERATED
    }
    pool.shutdown(wait=False)
    return prepared


def _generated(name: str) -> Rivals:
    return Rivals(*as_one_graph(load_graphs(name)))


def _timed(
    labels: dict[str, Any],
    rivals: Rivals,
    hags: dict[str, HAG],
    compiled: Any,
    device: str,
    budget: float,
) -> Rows:
    num_nodes, width, trained = rivals.num_nodes, labels["width"], labels["trained"]
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else None
    copies = copies_of(4 * num_nodes * width, free)
    xs = [
        torch.randn(num_nodes, width, device=device, requires_grad=trained)
        for _ in range(copies)
    ]
    grad = torch.randn(num_nodes, width, device=device)
    calls: dict[str, Call] = {}
    for name, sums in _ways(rivals, hags, compiled, xs[0], free).items():
        calls[name] = _trained(sums, xs, grad) if trained else _forward(sums, xs)
    kept = torch.empty_like(grad)
    calls[COPY] = lambda i: kept.copy_(xs[i].detach())
    calls = {name: call for name, call in calls.items() if _works(call)}
    case = Case(
        labels,
        {name: partial(call, 0) for name, call in calls.items()},
        "CSR" if "CSR" in calls else "HAG",
        wanted={COPY: None},
        gradients=trained,
    )
    case.check()
    seconds, captured = measure_calls(calls, copies, device, budget=budget)
    facts = {"inputs": copies, "aggregates": hags["HAG"].num_aggregates}
    return [
        {**row, "captured": row["contender"] in captured, **facts}
        for row in case.rows(seconds)
    ]


def _ways(
    rivals: Rivals, hags: dict[str, HAG], compiled: Any, x: Tensor, free: int | None
) -> dict[str, Callable[[Tensor], Tensor]]:
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "CSR": rivals.csr,
        BASELINE: rivals.embedding_bag,
    }
    conv = SimpleConv(aggr="sum")
    messages = rivals.col.numel() * x[0].nbytes
    if rivals.messages_fit(x) if free is None else 4 * messages < free:
        ways["edge_index"] = lambda x: conv(x, rivals.edge_index)
        if compiled is not None:
            ways["compiled"] = lambda x: compiled(x, rivals.edge_index)
    for name, hag in hags.items():
        ways[name] = partial(aggregate, hag=hag)
    return ways


def _forward(sums: Callable[[Tensor], Tensor], xs: list[Tensor]) -> Call:
    return lambda i: sums(xs[i])


def _trained(sums: Callable[[Tensor], Tensor], xs: list[Tensor], grad: Tensor) -> Call:
    return lambda i: torch.autograd.grad(sums(xs[i]), xs[i], grad)


def _works(call: Call) -> bool:
    """Whether PyTorch supports the call: not every operator has a gradient."""
    try:
        call(0)
    except (RuntimeError, NotImplementedError):
        return False
    return True


Cases = dict[tuple[str, int, bool], dict[str, float]]
"""Milliseconds of each way, by graph, width and pass."""


def _cases(rows: Rows) -> Cases:
    return {
        key: {way: row["milliseconds_50"] for way, row in case.items()}
        for key, case in by_contender(rows, "graph", "width", "trained").items()
    }


def table(rows: Rows) -> Table:
    """Milliseconds over the fastest HAG, and its speedup over the others."""
    lines = [HEADER]
    for (name, width, trained), ms in _cases(rows).items():
        best = min((ms[way] for way in PYG if way in ms), default=None)

        def over(other: float | None, way: str = "HAG", ms: Any = ms) -> str:
            return times(None if other is None else other / ms[way])

        passes = "forward + backward" if trained else "forward"
        cells = [over(best), over(ms.get("CSR")), over(ms.get("CSR"), "plain HAG")]
        cells += [over(ms.get(BASELINE)), times(ms["HAG"] / ms[COPY])]
        lines.append([name, str(width), passes, f"{ms['HAG']:.3g}", *cells])
    return lines


def plot(rows: Rows, path: str) -> None:
    """The speedup of the HAG over each way: a panel for each width and pass."""
    cases = _cases(rows)
    names = list(dict.fromkeys(name for name, _, _ in cases))
    widths = list(dict.fromkeys(width for _, width, _ in cases))
    picture = new_figure(2.0 + 2.6 * len(widths), 2.4 + 0.55 * len(names))
    panels = picture.subplots(2, len(widths), sharey=True, sharex=True, squeeze=False)
    for row, trained in zip(panels, (False, True), strict=True):
        for axes, width in zip(row, widths, strict=True):
            for way, color in COLORS.items():
                points = [
                    (ms[way] / ms["HAG"], i)
                    for i, name in enumerate(names)
                    for ms in [cases.get((name, width, trained), {})]
                    if way in ms
                ]
                if points:
                    x, y = zip(*points, strict=True)
                    axes.scatter(x, y, color=color, label=way, s=28)
            axes.axvline(1, color="0.3", linewidth=1)
            axes.set(xscale="log")
            axes.set_yticks(range(len(names)), names)
            axes.grid(axis="y", color="0.93")
            axes.set_title(f"F = {width}, {'with gradient' if trained else 'forward'}")
    panels[0][0].invert_yaxis()
    picture.supxlabel("speedup of the HAG over each way (log scale)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    add_legend(picture, dict(zip(labels, handles, strict=True)))
    save_figure(picture, path, dpi=130)
