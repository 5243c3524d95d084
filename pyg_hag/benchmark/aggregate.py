"""Time of a sum over all neighbours on a CPU, compared with PyTorch and PyG."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from pyg_hag.benchmark import aggregate_device
from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._plots import add_legend
from pyg_hag.benchmark._report import Row, Rows, Table, by_contender, times
from pyg_hag.benchmark._rivals import BASELINE, Rivals
from pyg_hag.benchmark.case import Case
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.utils.figures import new_figure, save_figure

OTHERS = {
    "edge_index": ["0.75", "x"],
    "CSR @": ["0.55", "^"],
    "sparse.mm": ["0.35", "v"],
    "copy of x": ["0.8", "|"],
    "plain HAG": ["tab:blue", "o"],
    "HAG": ["tab:orange", "D"],
    "subtract": ["tab:red", "s"],
    "backward": ["tab:green", "."],
}
"""What is compared with the baseline, with its colour and marker in the plot."""


def cases(settings: Settings) -> Iterator[Case]:
    """Sums over all neighbours in float32, forward."""
    for name in graph_names(settings):
        edge_index, num_nodes = load_one(name, settings)
        rivals = Rivals(edge_index, num_nodes)
        plain = build_hag(edge_index, num_nodes, capacity=0)
        for width in settings.widths_or(WIDTHS):
            x = torch.randn(num_nodes, width)
            hag = build_hag(edge_index, num_nodes, num_features=width)
            signed = build_hag(edge_index, num_nodes, num_features=width, subtract=True)
            contenders: dict[str, Callable[[], Any]] = {
                **rivals.sums(x),
                "plain HAG": partial(aggregate, x, plain),
                "HAG": partial(aggregate, x, hag),
                "subtract": partial(aggregate, x, signed),
                "backward": partial(aggregate, x, hag.t()),
            }
            yield Case(
                {"graph": name, "width": width},
                contenders,
                BASELINE,
                wanted={"copy of x": None, "backward": None},
                budget=3.0,
                facts={"aggregates": hag.num_aggregates},
            )


def measure(settings: Settings) -> Iterator[Rows]:
    """The rows of the CPU, or of the GPU."""
    on_gpu = settings.device == "cuda"
    return (aggregate_device.measure if on_gpu else of_cases(cases))(settings)


def table(rows: Rows) -> Table:
    """The speedups over the baseline."""
    if rows and "trained" in rows[0]:
        return aggregate_device.table(rows)
    lines = [["graph", "F", f"{BASELINE} ms", *OTHERS]]
    for (name, width), case in _cases(rows).items():
        ratios = [case[o]["speedup_50"] if o in case else None for o in OTHERS]
        base = f"{case[BASELINE]['milliseconds_50']:.3g}"
        lines.append([name, str(width), base, *map(times, ratios)])
    return lines


Cases = dict[tuple[str, int], dict[str, Row]]
"""The row of each contender, by graph and width."""


def _cases(rows: Rows) -> Cases:
    return by_contender(rows, "graph", "width")


def plot(rows: Rows, path: str) -> None:
    """One panel for each width, one line for each graph."""
    if rows and "trained" in rows[0]:
        return aggregate_device.plot(rows, path)
    cases = _cases(rows)
    names = list(dict.fromkeys(name for name, _ in cases))
    widths = list(dict.fromkeys(width for _, width in cases))
    picture = new_figure(max(7.0, 2.0 + 2.4 * len(widths)), 1.8 + 0.35 * len(names))
    panels = picture.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for axes, width in zip(panels, widths, strict=True):
        for other, (color, marker) in OTHERS.items():
            if other == "backward":
                continue
            known = [i for i, n in enumerate(names) if other in cases[n, width]]
            values = [cases[names[i], width][other]["speedup_50"] for i in known]
            style = {"color": color, "marker": marker, "s": 28}
            axes.scatter(values, known, label=other, zorder=3, **style)
        axes.axvline(1, color="0.3", linewidth=1)
        axes.set(xscale="log", title=f"F = {width}")
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="y", color="0.93")
    panels[0].invert_yaxis()
    picture.supxlabel(f"speedup over {BASELINE} (log scale)")
    handles, labels = panels[0].get_legend_handles_labels()
    add_legend(picture, dict(zip(labels, handles, strict=True)))
    save_figure(picture, path, dpi=130)


BENCHMARK = Benchmark(
    "aggregate",
    "One sum over all neighbours, float32, forward: milliseconds of `F.embedding_bag`, "
    "the fastest way in plain PyTorch on a CPU, and how many times faster than it the "
    "others are. `edge_index` is PyG's default path (`-`: its messages take more than "
    "4 GiB), `CSR @` and `sparse.mm` are sparse matrix products, `copy of x` is the "
    "lower bound, `plain HAG` our kernel on the graph as it is, `HAG` what `build_hag` "
    "returns for so many features (of least time), `subtract` the same with "
    "`subtract=True`, and `backward` the gradient of the sum over `HAG`.",
    measure,
    table,
    plot,
)
