"""Memory that a sum takes beyond its input and output."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from tqdm.auto import tqdm

from pyg_hag.analysis.memory import can_measure, peak
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._plots import plot_values
from pyg_hag.benchmark._report import Rows, Table, by_contender
from pyg_hag.benchmark._rivals import Rivals
from pyg_hag.benchmark.case import case_name
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

WAYS = ("edge_index", "CSR @", "embedding_bag", "HAG")


def measure(settings: Settings) -> Iterator[Rows]:
    """The peak resident memory of each way to sum.

    Raises:
        ValueError: If the system does not tell.
    """
    if not can_measure():
        raise ValueError("'memory' reads '/proc/self', which this system does not have")
    for name in tqdm(graph_names(settings), "memory"):
        edge_index, num_nodes = load_one(name, settings)
        rivals = Rivals(edge_index, num_nodes)
        for width in settings.widths_or(WIDTHS):
            x = torch.randn(num_nodes, width)
            hag = build_hag(edge_index, num_nodes, num_features=width)
            labels: dict[str, Any] = {"graph": name, "width": width}
            ways = rivals.sums(x) | {"HAG": partial(aggregate, x, hag)}
            facts = {
                "output": x.nbytes / 1e6,
                "messages": edge_index.size(1) * x[0].nbytes / 1e6,
            }
            rows = []
            for way in WAYS:
                row = {"case": case_name(labels), **labels, "contender": way, **facts}
                if way in ways:
                    with torch.no_grad():
                        row["megabytes"] = (peak(ways[way]) or 0.0) - facts["output"]
                rows.append(row)
            yield rows


def table(rows: Rows) -> Table:
    """One line for each graph and width."""
    lines = [["graph", "F", "output MB", *WAYS]]
    for (name, width), case in by_contender(rows, "graph", "width").items():
        cells = [name, str(width), f"{case['HAG']['output']:.0f}"]
        for way in WAYS:
            known = case[way].get("megabytes")
            messages = f"({case[way]['messages']:.0f} MB)"
            cells.append(messages if known is None else f"{max(0.0, known):.0f} MB")
        lines.append(cells)
    return lines


def plot(rows: Rows, path: str) -> None:
    """Bars of megabytes."""
    plot_values(rows, "megabytes", "MB at the peak beyond the output", path)


BENCHMARK = Benchmark(
    "memory",
    "Megabytes of the output of a sum over all neighbours, and those that each way "
    "takes besides at its peak (Linux); in brackets what the messages on `edge_index` "
    "would take where they exceed 4 GiB.",
    measure,
    table,
    plot,
)
