"""Accuracy of the cost model, and constants fitted to this machine."""

from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._timing import measure
from pyg_hag.cost import DEFAULT_COST, SETS, CostModel, features
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.utils.figures import new_figure

HEADER = ["graph", "F", "HAG", "HAG ms", "plain ms", "measured", "predicted", "error"]


def run(
    names: list[str],
    root: str | None,
    out: str | None,
    widths: list[int],
    plot: str | None = None,
    fit: str | None = None,
) -> list[list[str]]:
    """Compares predicted and measured times of HAGs, relative to the plain graph.

    For each graph, the HAG of fewest aggregations and the fastest one.

    Args:
        names: Data sets.
        root: Their folder.
        out: A CSV file to write.
        widths: Numbers of features.
        plot: A PNG file to write.
        fit: A JSON file to write constants to that are fitted to the measured times;
            the table then shows what these predict.
    """
    samples: list[dict[str, Any]] = []
    with torch.no_grad():
        for name in tqdm(names, "cost"):
            edge_index, num_nodes = as_one_graph(load_graphs(name, root))
            plain = build_hag(edge_index, num_nodes, capacity=0)
            fewest = build_hag(edge_index, num_nodes, objective="aggregations")
            for width in widths:
                x = torch.randn(num_nodes, width)
                hags = {"plain": plain, "fewest": fewest}
                fastest = build_hag(edge_index, num_nodes, num_features=width)
                if fastest.num_aggregates > 0:
                    hags["fastest"] = fastest
                times = measure(
                    {k: partial(aggregate, x, hag) for k, hag in hags.items()}
                )
                for label, hag in hags.items():
                    samples.append(
                        {
                            "graph": name,
                            "width": width,
                            "kind": label,
                            "hag": hag,
                            "seconds": times[label].median,
                            "ratio": 1 / times[label].speedup_over(times["plain"]),
                        }
                    )
    model = DEFAULT_COST if fit is None else fitted(samples)
    if fit is not None:
        model.save(fit)
    rows = _compare(samples, model)
    if out is not None:
        write_csv(out, rows)
    if plot is not None:
        _plot(rows, plot)
    return [HEADER, *(_cells(row) for row in rows)]


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
        stream=constants[-3],
        write=constants[-2],
        fresh=constants[-1],
    )


def _compare(samples: list[dict[str, Any]], model: CostModel) -> list[dict[str, Any]]:
    rows = []
    plain: HAG = samples[0]["hag"]
    plain_seconds = 0.0
    for s in samples:
        if s["kind"] == "plain":
            plain, plain_seconds = s["hag"], s["seconds"]
            continue
        predicted = model.seconds(s["hag"], s["width"])
        predicted /= model.seconds(plain, s["width"])
        rows.append(
            {
                "graph": s["graph"],
                "width": s["width"],
                "kind": s["kind"],
                "milliseconds": 1e3 * s["seconds"],
                "milliseconds_plain": 1e3 * plain_seconds,
                "milliseconds_predicted": 1e3 * model.seconds(s["hag"], s["width"]),
                "milliseconds_plain_predicted": 1e3 * model.seconds(plain, s["width"]),
                "measured": s["ratio"],
                "predicted": predicted,
                "error": predicted / s["ratio"] - 1,
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["graph"],
        str(row["width"]),
        row["kind"],
        f"{row['milliseconds']:.2f}",
        f"{row['milliseconds_plain']:.2f}",
        f"{row['measured']:.2f}",
        f"{row['predicted']:.2f}",
        f"{row['error']:+.0%}",
    ]


def _plot(rows: list[dict[str, Any]], path: str) -> None:
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
    picture.savefig(path, dpi=150)
