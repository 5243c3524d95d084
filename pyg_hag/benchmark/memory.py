"""Memory that a sum takes beyond its input and output."""

import ctypes
import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from pyg_hag import release_memory
from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import Rivals
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HEADER = ["graph", "F", "output MB", "edge_index", "CSR @", "embedding_bag", "HAG"]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Measures the peak resident memory (Linux).

    Returns:
        list[list[str]]: A table: megabytes of the output, and those that each way
        takes besides at its peak. Where the messages on `edge_index` would exceed
        :data:`MAX_MESSAGE_BYTES`, their size in brackets.
    """
    if not _RESET.exists():
        raise ValueError("'memory' reads '/proc/self', which this system does not have")
    rows: list[dict[str, Any]] = []
    with torch.no_grad():
        for name in tqdm(names, "memory"):
            edge_index, num_nodes = as_one_graph(load_graphs(name, root))
            rivals = Rivals(edge_index, num_nodes)
            for width in widths:
                x = torch.randn(num_nodes, width)
                hag = build_hag(edge_index, num_nodes, num_features=width)
                row: dict[str, Any] = {"graph": name, "width": width}
                row["output"] = x.nbytes / 1e6
                ways = rivals.sums(x)
                ways["HAG"] = partial(aggregate, x, hag)
                for way in HEADER[3:]:
                    if way in ways:
                        row[way] = peak(ways[way]) - row["output"]
                row["messages"] = edge_index.size(1) * x[0].nbytes / 1e6
                rows.append(row)
    if out is not None:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def peak(call: Callable[[], Any]) -> float:
    """Megabytes by which the resident memory of the process grows during a call."""
    call()  # caches are filled once and not counted
    release_memory()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # else the allocator keeps what was freed before
        trim(0)
    _RESET.write_text("5")
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"'{_STATUS}' has no {field}")


def _cells(row: dict[str, Any]) -> list[str]:
    cells = []
    for way in HEADER[3:]:
        known = way in row
        cells.append(f"{row[way]:.0f} MB" if known else f"({row['messages']:.0f} MB)")
    return [row["graph"], str(row["width"]), f"{row['output']:.0f}", *cells]
