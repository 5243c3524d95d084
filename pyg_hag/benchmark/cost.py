"""Accuracy of the cost model, and constants fitted to this machine."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._report import Rows, Table, by_contender
from pyg_hag.benchmark.case import Case
from pyg_hag.cost import DEFAULT_COST, SETS, CostModel, features
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.utils.figures import new_figure, save_figure

HEADER = ["graph", "F", "HAG", "HAG ms", "plain ms", "measured", "predicted", "error"]


def measure(settings: Settings) -> Iterator[Rows]:
    """Predicted and measured times of HAGs, relative to the plain graph.

    For each graph, the HAG of fewest aggregations and the fastest one. If constants
    are fitted, rows come at the end, with what these predict.
    """
    samples: list[dict[str, Any]] = []
    for name in tqdm(graph_names(settings), "cost"):
        edge_index, num_nodes = load_one(name, settings)
        plain = build_hag(edge_index, num_nodes, capacity=0)
        fewest = build_hag(edge_index, num_nodes, objective="aggregations")
        for width in settings.widths_or(WIDTHS):
            hags = {"plain": plain, "fewest": fewest}
            fastest = build_hag(edge_index, num_nodes, num_features=width)
            if fastest.num_aggregates > 0:
                hags["fastest"] = fastest
            new = _samples({"graph": name, "width": width}, hags, settings)
            samples += new
            if settings.fit is None:
                yield _compare(new, DEFAULT_COST)
    if settings.fit is not None:
        model = fitted(samples)
        model.save(settings.fit)
        yield _compare(samples, model)


def _samples(
    labels: dict[str, Any], hags: dict[str, HAG], settings: Settings
) -> list[dict[str, Any]]:
    x = torch.randn(hags["plain"].num_src, labels["width"])
    contenders = {kind: partial(aggregate, x, hag) for kind, hag in hags.items()}
    case = Case(labels, contenders, "plain")
    case.check()
    times = case.time(settings.max_rounds)
    return [
        {
            "row": row,
            "hag": hags[row["contender"]],
            "width": labels["width"],
            "seconds": times[row["contender"]].median,
            "ratio": 1 / times[row["contender"]].speedup_over(times["plain"]),
        }
        for row in case.rows(times)
    ]


def fitted(samples: list[dict[str, Any]]) -> CostModel:
    """Fits non-negative constants by least squares of the relative error."""
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise ValueError("'--fit' needs SciPy: pip install scipy") from None
    threads = torch.get_num_threads()
    terms = np.stack([features(s["hag"], s["width"], 4, threads) for s in samples])
    seconds = np.array([s["seconds"] for s in samples])
    constants, _ = nnls(terms / seconds[:, None], np.ones(seconds.size))
    n = len(SETS)
    return CostModel(
        threads=threads,
        call=constants[0],
        row=tuple(constants[1 : n + 1].tolist()),
        read=constants[n + 1],
        choose=constants[n + 2],
        byte=tuple(constants[n + 3 : 2 * n + 3].tolist()),
        stream=constants[-2],
        write=constants[-1],
    )


def _compare(samples: list[dict[str, Any]], model: CostModel) -> Rows:
    """The rows of HAGs, each after that of its plain graph."""
    rows: Rows = []
    for s in samples:
        seconds = model.seconds(s["hag"], s["width"])
        row = {**s["row"], "milliseconds_predicted": 1e3 * seconds}
        if row["contender"] == "plain":
            plain = seconds
        else:
            predicted = seconds / plain
            row |= {"measured": s["ratio"], "predicted": predicted}
            row["error"] = predicted / s["ratio"] - 1
        rows.append(row)
    return rows


def table(rows: Rows) -> Table:
    """One line for each HAG."""
    lines = [HEADER]
    for (name, width), case in by_contender(rows, "graph", "width").items():
        plain = case.pop("plain")["milliseconds_50"]
        for kind, row in case.items():
            ms = [f"{row['milliseconds_50']:.2f}", f"{plain:.2f}"]
            ratios = [f"{row['measured']:.2f}", f"{row['predicted']:.2f}"]
            cells = [name, str(width), kind, *ms, *ratios]
            lines.append([*cells, f"{row['error']:+.0%}"])
    return lines


def plot(rows: Rows, path: str) -> None:
    """Predicted over measured times."""
    rows = [row for row in rows if "error" in row]
    picture = new_figure(6.4, 6.0)
    axes = picture.subplots()
    measured = np.array([row["measured"] for row in rows])
    ends = np.array([measured.min() / 1.5, measured.max() * 1.5])
    axes.fill_between(ends, ends / 1.25, ends * 1.25, color="0.92", label="±25 %")
    axes.plot(ends, ends, color="0.6", linewidth=1)
    widths = sorted({row["width"] for row in rows})
    for width, marker in zip(widths, "osD^vP*X", strict=False):
        chosen = [row for row in rows if row["width"] == width]
        axes.scatter(
            [row["measured"] for row in chosen],
            [row["predicted"] for row in chosen],
            s=24,
            marker=marker,
            alpha=0.8,
            label=f"F = {width}",
        )
    for row in rows:
        if abs(row["error"]) > 0.25:
            axes.annotate(row["graph"], (row["measured"], row["predicted"]), fontsize=7)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set_xlabel("measured time, HAG / plain")
    axes.set_ylabel("predicted time, HAG / plain")
    axes.legend(frameon=False)
    save_figure(picture, path, dpi=150)


BENCHMARK = Benchmark(
    "cost",
    "What the cost model predicts for a sum over HAGs, of fewest aggregations and of "
    "least time, and what was measured, relative to the plain graph.",
    measure,
    table,
    plot,
)
