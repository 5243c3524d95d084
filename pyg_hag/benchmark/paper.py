"""The evaluation of the paper on HAGs (Jia et al., KDD 2020), with its settings.

A GCN of two layers with 16 hidden units, and as many aggregates as a quarter of the
nodes, beside the searches of this package.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import Compose, GCNNorm, ToSparseTensor

from pyg_hag.benchmark import case
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._graphs import WAYS_OUT, is_available, load
from pyg_hag.benchmark._plots import plot_ratios
from pyg_hag.benchmark._published import HAG_REDUCTIONS, HAG_SOURCE
from pyg_hag.benchmark._report import Row, Rows, Table, grouped, times
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark.case import Case
from pyg_hag.benchmark.search import MAX_EDGES_FOR_ALL
from pyg_hag.benchmark.train import CLASSES, Task, bound_epoch, make_model
from pyg_hag.datasets import as_one_graph, find_root
from pyg_hag.hag import HAG
from pyg_hag.search import build_hag

HIDDEN = 16
DATASETS = {
    "BZR": "BZR",
    "PPI": "PPI",
    "REDDIT": "Reddit",
    "IMDB": "IMDB-BINARY",
    "COLLAB": "COLLAB",
}
"""The names in the paper, and those of PyG."""
PUBLISHED = "greedy, |V|/4"
SEARCHES: dict[str, dict[str, Any]] = {
    "plain graph": {"capacity": 0},
    PUBLISHED: {"objective": "aggregations", "method": "greedy"},
    "fewest aggregations": {"objective": "aggregations"},
    "least time": {"num_features": HIDDEN},
}
SEQUENTIAL: dict[str, dict[str, Any]] = {
    "plain graph": {"capacity": 0},
    "prefixes, |V|/4": {},
    "all prefixes": {},
    "all, shared order": {"neighbor_order": "shared"},
}
MODES = ("training", "inference")
HEADER = [
    *("data set", "aggregation", "search", "aggregations", "fewer", "published"),
    *("transfers", "fewer", "published", "epoch ms", "over PyG"),
    *("inference ms", "over PyG"),
]


def measure(settings: Settings) -> Iterator[Rows]:
    """The rows of each data set: those of set and of sequential aggregation.

    Raises:
        ValueError: If none of the data sets is there.
    """
    for label, name in _datasets(settings).items():
        graphs = load(name, settings)
        edge_index, num_nodes = as_one_graph(graphs)
        x = _features(graphs, num_nodes)
        hags, counts = _set_hags(edge_index, num_nodes)
        for item in _cases(label, x, edge_index, hags, counts):
            yield from case.run([item], settings.max_rounds)
        yield _sequential(label, edge_index, num_nodes)


def _datasets(settings: Settings) -> dict[str, str]:
    """The data sets that are there, by the paper's names; says which are not."""
    named = settings.graphs or (["ego-networks"] if settings.quick else [])
    if named:
        return {name: DATASETS.get(name, name) for name in named}
    there = {
        label: name for label, name in DATASETS.items() if is_available(name, settings)
    }
    absent = [name for name in DATASETS.values() if name not in there.values()]
    folder = find_root(settings.root)
    if not there:
        raise ValueError(f"none of {', '.join(absent)} is in '{folder}': {WAYS_OUT}")
    for name in absent:
        print(
            f"paper: {name} is left out, it is not in '{folder}' (PyG downloads it if "
            "you name it)",
            file=sys.stderr,
        )
    return there


def _features(graphs: list[Data], num_nodes: int) -> Tensor:
    """Those of the data set, or random ones where it has none."""
    torch.manual_seed(0)
    if any(graph.x is None for graph in graphs):
        return torch.randn(num_nodes, HIDDEN)
    return torch.cat([graph.x.to_dense().float() for graph in graphs])


def _set_hags(
    edge_index: Tensor, num_nodes: int
) -> tuple[dict[str, HAG], dict[str, Row]]:
    """The HAG of each search, and its columns."""
    hags, counts = {}, {}
    for search, options in SEARCHES.items():
        if search == PUBLISHED:
            if edge_index.size(1) > MAX_EDGES_FOR_ALL:
                continue  # hours
            options = {**options, "capacity": num_nodes // 4}
        begin = time.perf_counter()
        hag = build_hag(edge_index, num_nodes, progress=False, **options)
        seconds = time.perf_counter() - begin
        hags[search] = hag
        counts[search] = {
            "aggregations": hag.stats.aggregations,
            "aggregation_reduction": hag.stats.aggregation_reduction,
            "reads": hag.stats.reads,
            "read_reduction": hag.stats.read_reduction,
            "aggregates": hag.num_aggregates,
            "seconds_of_search": seconds,
        }
    return hags, counts


def _cases(
    label: str,
    x: Tensor,
    edge_index: Tensor,
    hags: dict[str, HAG],
    counts: dict[str, Row],
) -> Iterator[Case]:
    data = Data(x, edge_index, num_nodes=x.size(0))
    to_csr = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)
    graphs: dict[str, Any] = {}
    if edge_index.size(1) * max(HIDDEN, CLASSES) * 4 <= MAX_MESSAGE_BYTES:
        graphs["edge_index"] = edge_index
    graphs["CSR"] = Compose([GCNNorm(), to_csr])(data).adj_t
    graphs |= hags
    task = Task(label, "GCN", 2, HIDDEN)
    y = torch.randint(CLASSES, (x.size(0),))
    epochs: dict[str, Callable[[], Any]] = {}
    passes: dict[str, Callable[[], Any]] = {}
    for contender, graph in graphs.items():
        path = "HAG" if contender in hags else contender
        model = make_model(task, path, x.size(1), False)
        optimizer = torch.optim.Adam(model.parameters())
        epochs[contender] = bound_epoch(model, optimizer, y, x, graph)
        fixed = make_model(task, path, x.size(1), False).eval()
        passes[contender] = partial(fixed, x, graph)
    for mode, contenders in zip(MODES, (epochs, passes), strict=True):
        yield Case(
            {"dataset": label, "aggregation": "set", "mode": mode},
            contenders,
            next(iter(graphs)),
            over=("edge_index", "CSR"),
            tolerance=1e-2 if mode == "training" else 1e-3,
            gradients=mode == "training",
            budget=20.0,
            facts_of=counts,
        )


def _sequential(label: str, edge_index: Tensor, num_nodes: int) -> Rows:
    """How many steps an aggregator takes that reads neighbours in order."""
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    rows = []
    for search, options in SEQUENTIAL.items():
        if search.endswith("|V|/4"):
            options = {**options, "capacity": num_nodes // 4}
        hag = build_hag(edge_index, num_nodes, order="sequential", **options)
        rows.append(
            {
                "case": case.case_name({"dataset": label, "order": "sequential"}),
                "dataset": label,
                "aggregation": "sequential",
                "contender": search,
                "aggregations": hag.stats.steps,
                "aggregation_reduction": hag.stats.step_reduction,
                "reads": hag.stats.reads,
                "read_reduction": hag.stats.read_reduction,
                "aggregates": hag.num_aggregates,
            }
        )
    return rows


def table(rows: Rows) -> Table:
    """One line for each data set, kind of aggregation and search."""
    lines = [HEADER]
    keys = ("dataset", "aggregation", "contender")
    for (name, kind, search), group in grouped(rows, *keys).items():
        if "aggregations" not in group[0]:
            continue  # PyG's own ways
        published = HAG_REDUCTIONS.get(name, (None, None))
        if kind != "set" or search != PUBLISHED:
            published = (None, None)
        cells = [name, kind, search]
        counts = ("aggregations", "aggregation_reduction"), ("reads", "read_reduction")
        for (count, reduction), known in zip(counts, published, strict=True):
            row = group[0]
            cells += [f"{row[count]:,}", times(row[reduction]), times(known, 1)]
        modes = {row["mode"]: row for row in group if "mode" in row}
        for mode in MODES:
            row = modes.get(mode, {})
            ms = row.get("milliseconds_50")
            cells.append("-" if ms is None else f"{ms:.2f}")
            cells.append(times(row.get("over edge_index")))
        lines.append(cells)
    return lines


def plot(rows: Rows, path: str) -> None:
    """Bars of the speedups of training and inference."""
    plot_ratios([row for row in rows if "speedup_50" in row], path)


BENCHMARK = Benchmark(
    "paper",
    "The paper's evaluation: binary aggregations and data transfers (inputs that are "
    "read), an epoch of training and inference of a GCN of two layers with 16 hidden "
    "units. `greedy, |V|/4` is its search, with as many aggregates as a quarter of the "
    "nodes; the others are ours. `over PyG` is the speedup over `edge_index` (`-`: its "
    "messages take more than 4 GiB). For sequential aggregation: steps of an "
    "aggregator that reads neighbours in order, of which `|V|/4` or all shared "
    "prefixes are computed once (`benchmark lstm` has its times). Times are without "
    "the search. "
    f"{HAG_SOURCE}",
    measure,
    table,
    plot,
)
