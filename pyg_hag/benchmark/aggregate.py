"""Time of a sum over all neighbours on a CPU, compared with PyTorch and PyG."""

from functools import partial
from typing import Any

import torch
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import BASELINE, Rivals
from pyg_hag.benchmark._timing import measure
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.utils.figures import new_figure

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


def run(
    names: list[str],
    root: str | None,
    out: str | None,
    widths: list[int],
    plot: str | None = None,
) -> list[list[str]]:
    """Times the sum over all neighbours in float32.

    Returns:
        list[list[str]]: A table: milliseconds of `F.embedding_bag` (median), and the
        speedup of the others over it (median of the rounds). `plain HAG` is the graph
        as it is, `HAG` the fastest HAG, `subtract` the fastest with subtraction, and
        `backward` the gradient of the sum over `HAG`.
    """
    rows: list[dict[str, Any]] = []
    with torch.no_grad():
        for name in tqdm(names, "aggregate"):
            edge_index, num_nodes = as_one_graph(load_graphs(name, root))
            rivals = Rivals(edge_index, num_nodes)
            plain = build_hag(edge_index, num_nodes, capacity=0)
            for width in widths:
                x = torch.randn(num_nodes, width)
                hag = build_hag(edge_index, num_nodes, num_features=width)
                signed = build_hag(
                    edge_index, num_nodes, num_features=width, subtract=True
                )
                ways = rivals.sums(x)
                ways["plain HAG"] = partial(aggregate, x, plain)
                ways["HAG"] = partial(aggregate, x, hag)
                ways["subtract"] = partial(aggregate, x, signed)
                ways["backward"] = partial(aggregate, x, hag.t())
                times = measure(ways, budget=3.0)
                rows += [
                    {
                        "graph": name,
                        "width": width,
                        "rival": way,
                        "milliseconds_20": 1e3 * t.quantile(20),
                        "milliseconds_50": 1e3 * t.median,
                        "milliseconds_80": 1e3 * t.quantile(80),
                        "speedup": t.speedup_over(times[BASELINE]),
                        "aggregates": hag.num_aggregates,
                    }
                    for way, t in times.items()
                ]
    if out is not None:
        write_csv(out, rows)
    cases = _cases(rows)
    if plot is not None:
        _plot(cases, plot)
    return _table(cases)


Cases = dict[tuple[str, int], dict[str, dict[str, Any]]]
"""The row of each rival, by graph and width."""


def _cases(rows: list[dict[str, Any]]) -> Cases:
    cases: Cases = {}
    for row in rows:
        cases.setdefault((row["graph"], row["width"]), {})[row["rival"]] = row
    return cases


def _table(cases: Cases) -> list[list[str]]:
    table = [["graph", "F", f"{BASELINE} ms", *OTHERS]]
    for (name, width), case in cases.items():
        cells = [f"{case[o]['speedup']:.2f}x" if o in case else "-" for o in OTHERS]
        base = case[BASELINE]["milliseconds_50"]
        table.append([name, str(width), f"{base:.3g}", *cells])
    return table


def _plot(cases: Cases, path: str) -> None:
    names = list(dict.fromkeys(name for name, _ in cases))
    widths = list(dict.fromkeys(width for _, width in cases))
    picture = new_figure(2.0 + 2.4 * len(widths), 1.6 + 0.3 * len(names))
    panels = picture.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for axes, width in zip(panels, widths, strict=True):
        for other, (color, marker) in OTHERS.items():
            if other == "backward":
                continue
            known = [i for i, n in enumerate(names) if other in cases[n, width]]
            values = [cases[names[i], width][other]["speedup"] for i in known]
            style = {"color": color, "marker": marker, "s": 28}
            axes.scatter(values, known, label=other, zorder=3, **style)
        axes.axvline(1, color="0.3", linewidth=1)
        axes.set(xscale="log", title=f"F = {width}")
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="y", color="0.93")
    panels[0].invert_yaxis()
    picture.supxlabel(f"speedup over {BASELINE} (log scale)")
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False
    )
    picture.savefig(path, dpi=130)
