"""HAGs of meta-paths from their factors: making them, and sums and layers over them."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch_geometric.data import HeteroData
from tqdm.auto import tqdm

from pyg_hag.benchmark import _making, case
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._bibliographies import bare, chosen, most_edges, steps
from pyg_hag.benchmark._child import run_child
from pyg_hag.benchmark._making import OF_PRODUCT, OURS, PRODUCT, WEIGHTED_PRODUCT
from pyg_hag.benchmark._metapath_cases import (
    BAG,
    CSR,
    EDGES,
    MAX_SEARCHED_EDGES,
    PLAIN,
    WEIGHTED,
    cases,
    read,
)
from pyg_hag.benchmark._plots import plot_ratios
from pyg_hag.benchmark._report import Row, Rows, Table, by_contender, times
from pyg_hag.benchmark._timing import Times

WIDTHS = [64]
MAKE = "make"
ROUNDS = 9
HEADER = [
    *("graph", "path", "edges", "F", "what", "HAG", "ms", "over PyG", "over CSR"),
    *("over HAG of the product", "MB", "PyG MB"),
]
_PYG = (PRODUCT, EDGES, BAG)


def measure(settings: Settings) -> Iterator[Rows]:
    """What making each meta-path takes, and what can be computed with it then."""
    for name, bibliography in tqdm(chosen(settings).items(), "metapaths"):
        data = bare(bibliography.make())
        with TemporaryDirectory() as folder:
            file = Path(folder) / "graph.pt"
            torch.save(data, file)
            for path in bibliography.paths:
                for width in settings.widths_or(WIDTHS):
                    labels = {"graph": name, "path": path, "width": width}
                    made = _made(labels, data, file, settings)
                    yield made
                    if bibliography.computes:
                        yield from _computed(labels, data, made[0], settings)


def _computed(
    labels: dict[str, Any], data: HeteroData, made: Row, settings: Settings
) -> Iterator[Rows]:
    """The rows of sums and layers, with what is known of the graph."""
    known: Row = {key: made[key] for key in ("edges", "input_edges") if key in made}
    graph = read(data, labels["path"], labels["width"])
    for rows in case.run(cases(labels, graph), settings.max_rounds):
        yield [{**row, **known} for row in rows]


def _made(
    labels: dict[str, Any], data: HeteroData, file: Path, settings: Settings
) -> Rows:
    """The rows of making a meta-path, each way in a process of its own."""
    ways = [*OURS, PRODUCT, WEIGHTED_PRODUCT]
    if most_edges(data, labels["path"]) <= MAX_SEARCHED_EDGES:
        ways.append(OF_PRODUCT)
    task = {"file": str(file), "path": labels["path"], "width": labels["width"]}
    task["rounds"] = settings.max_rounds or ROUNDS
    found: dict[str, Row] = {}
    for group in [ways] if settings.quick else [[way] for way in ways]:
        outcome = run_child(_making.__name__, {**task, "ways": group})
        found |= {way: {"failed": outcome.failed} for way in group}
        found |= {row["way"]: row for row in outcome.rows}
    path = steps(labels["path"])
    facts = {"input_edges": sum(data[key].edge_index.size(1) for key in path)}
    if "edges" in found[PLAIN]:
        facts["edges"] = found[PLAIN]["edges"]
    named = {**labels, "what": MAKE}
    return [{**_row(named, way, found), **facts} for way in ways]


def _row(labels: dict[str, Any], way: str, found: dict[str, Row]) -> Row:
    """The row of a way to make a meta-path: its times, or why it was stopped."""
    seconds = {
        w: Times(tuple(r["seconds"])) for w, r in found.items() if "seconds" in r
    }
    wanted = WEIGHTED_PRODUCT if way in (WEIGHTED, WEIGHTED_PRODUCT) else PRODUCT
    baseline = wanted if wanted in seconds else way
    row: Row = {
        "case": case.case_name(labels),
        **labels,
        "contender": way,
        "baseline": baseline,
    }
    if way not in seconds:
        return {**row, "failed": found[way]["failed"]}
    mine, base = seconds[way], seconds[baseline]
    row["rounds"] = len(mine.seconds)
    for q in (20, 50, 80):
        row[f"milliseconds_{q}"] = 1e3 * mine.quantile(q)
    for q in (20, 50, 80):
        row[f"speedup_{q}"] = base.median / mine.quantile(100 - q)
    if wanted in seconds:
        row[f"over {PRODUCT}"] = base.median / mine.median
    if OF_PRODUCT in seconds:
        row[f"over {OF_PRODUCT}"] = seconds[OF_PRODUCT].median / mine.median
    sizes = ("megabytes", "aggregates", "reads")
    return row | {key: found[way][key] for key in sizes if key in found[way]}


def table(rows: Rows) -> Table:
    """One line for each HAG that a meta-path's factors are made into."""
    lines = [HEADER]
    groups = by_contender(rows, "graph", "path", "width", "what")
    for group in groups.values():
        lines += [_cells(row, group) for name, row in group.items() if name in OURS]
    return lines


def _cells(row: Row, group: dict[str, Row]) -> list[str]:
    name = row["contender"]
    rivals = [WEIGHTED_PRODUCT] if name == WEIGHTED and row["what"] == MAKE else _PYG
    rival = next((group[way] for way in (*rivals, CSR) if way in group), {})
    over = next((row[f"over {way}"] for way in _PYG if f"over {way}" in row), None)
    messages = row.get("message_megabytes")
    takes = rival.get("megabytes")
    if takes is None and rival.get("failed") is None and messages is not None:
        other = f"({messages:,.0f})"
    else:
        other = "-" if takes is None else f"{takes:,.0f}"
    return [
        row["graph"],
        row["path"],
        f"{row['edges']:,}" if "edges" in row else "-",
        str(row["width"]),
        row["what"],
        name,
        f"{row['milliseconds_50']:,.2f}" if "milliseconds_50" in row else row["failed"],
        rival.get("failed") or times(over),
        times(row.get(f"over {CSR}")),
        times(row.get(f"over {OF_PRODUCT}")),
        f"{row['megabytes']:,.0f}" if "megabytes" in row else "-",
        other,
    ]


def plot(rows: Rows, path: str) -> None:
    """Bars of the speedups of what was not stopped."""
    plot_ratios([row for row in rows if "speedup_50" in row], path)


BENCHMARK = Benchmark(
    "metapaths",
    "HAGs of meta-paths, made of their factors by `HAGMetaPaths`, also with "
    '`subtract=True`, `reduce="max"` and `weighted=True`: milliseconds to make them '
    "(each in a process of its own), times faster than PyG's `AddMetaPaths`, and than "
    "`AddMetaPaths` and `HAGTransform`, a HAG of the product; and sums, maxima and "
    "layers over them, times faster than `F.embedding_bag` or PyG on `edge_index`, "
    "than a sparse matrix, and than over the HAG of the product. Megabytes are those "
    "at the peak beyond the input (Linux); in brackets what messages would take where "
    "the edges do not fit. A limit in place of a ratio is the one at which "
    "`AddMetaPaths` was stopped. The graphs are generated.",
    measure,
    table,
    plot,
)
