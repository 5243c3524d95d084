"""Savings, time and memory of each search."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import add_remaining_self_loops
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._graphs import graph_names, load_one
from pyg_hag.benchmark._plots import plot_values
from pyg_hag.benchmark._report import Row, Rows, Table
from pyg_hag.hag import HAG
from pyg_hag.search import build_hag

HEADER = [
    "graph",
    "edges",
    "search",
    "aggregations",
    "reads",
    "aggregates",
    "depth",
    "seconds",
    "M edges/s",
    "MB",
]
_RIVALS: dict[str, dict[str, Any]] = {
    "greedy, |V|/4": {"objective": "aggregations", "method": "greedy"},
    "greedy": {"objective": "aggregations", "method": "greedy"},
    "auto, aggregations": {"objective": "aggregations"},
    "auto, time": {},
    "auto, subtract": {"objective": "aggregations", "subtract": True},
}
MAX_EDGES_FOR_ALL = 50_000_000
"""On larger graphs, only the searches that finish in minutes run."""
_PERIOD = 0.005  # seconds between two readings of the memory


def measure(settings: Settings) -> Iterator[Rows]:
    """Compares the searches on each graph.

    The default search for fewest aggregations and for least time; on graphs where it
    finishes in minutes, also with subtraction, exact greedy, and greedy with a capacity
    of a quarter of the nodes (as published).
    """
    for options in _RIVALS.values():
        build_hag(torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]]), **options)  # compiles
    for name in tqdm(graph_names(settings), "search"):
        edge_index, num_nodes = load_one(name, settings)
        if settings.self_loops:
            edge_index, _ = add_remaining_self_loops(edge_index, num_nodes=num_nodes)
        yield _of_graph(name, edge_index, num_nodes)


def _of_graph(name: str, edge_index: Tensor, num_nodes: int) -> Rows:
    rows = []
    for rival, options in _RIVALS.items():
        slow = "greedy" in rival or "subtract" in rival
        if slow and edge_index.size(1) > MAX_EDGES_FOR_ALL:
            continue
        if rival.endswith("|V|/4"):
            options = {**options, "capacity": num_nodes // 4}
        hag, seconds, memory = _measure(
            partial(build_hag, edge_index, num_nodes, progress=False, **options)
        )
        stats = hag.stats
        closed = hag.closed()[0].stats.reads
        rows.append(
            {
                "case": name,
                "graph": name,
                "nodes": num_nodes,
                "edges": stats.num_edges,
                "contender": rival,
                "aggregation_reduction": stats.aggregation_reduction,
                "read_reduction": stats.read_reduction,
                "closed_read_reduction": hag.num_edges / max(closed, 1),
                "aggregates": stats.num_aggregates,
                "depth": stats.depth,
                "seconds": seconds,
                "edges_per_second": stats.num_edges / seconds,
                "megabytes": memory / 2**20,
                "decision": stats.decision,
            }
        )
    return rows


def _measure(search: Callable[[], HAG]) -> tuple[HAG, float, int]:
    """The HAG, the best time, and the peak memory above that before the search."""
    seconds = []
    with _Memory() as memory:
        for _ in range(3):
            start = time.perf_counter()
            hag = search()
            seconds.append(time.perf_counter() - start)
            if seconds[0] > 5:
                break
    return hag, min(seconds), memory.peak - memory.before


class _Memory:
    """Samples the resident memory of this process (Linux; 0 elsewhere)."""

    def __enter__(self) -> "_Memory":
        self.before = self.peak = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(_PERIOD):
            self.peak = max(self.peak, _resident())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def table(rows: Rows) -> Table:
    """One line for each graph and search."""
    return [HEADER, *map(_cells, rows)]


def _cells(row: Row) -> list[str]:
    return [
        row["graph"],
        f"{row['edges']:,}",
        row["contender"],
        f"{row['aggregation_reduction']:.2f}x",
        f"{row['read_reduction']:.2f}x",
        f"{row['aggregates']:,}",
        f"{row['depth']}",
        f"{row['seconds']:.3f}",
        f"{row['edges_per_second'] / 1e6:.1f}",
        f"{row['megabytes']:.0f}",
    ]


def plot(rows: Rows, path: str) -> None:
    """Bars of the reductions of aggregations."""
    title = "fewer aggregations than the plain graph has"
    plot_values(rows, "aggregation_reduction", title, path, start=1.0)


BENCHMARK = Benchmark(
    "search",
    "Reductions of the binary operations and reads of the plain graph: by exact greedy "
    "search with as many aggregates as a quarter of the nodes, the capacity of the "
    "paper's experiments (`greedy, |V|/4`), and without a limit (`greedy`); by the "
    "default search for fewest aggregations and for least time, which leaves a graph "
    "as it is where a HAG would not pay; and where sums may be taken back "
    "(`subtract`). Seconds are the best of three, or of one that takes more than five; "
    "megabytes are those beyond the process before the search.",
    measure,
    table,
    plot,
)
