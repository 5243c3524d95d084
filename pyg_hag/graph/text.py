"""Edge lists as text: two integers per line, or two named columns of a table."""

import itertools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag.graph.checks import MAX_NODES

_COMMENTS = ["#", "%"]
_PAIRS = (
    *(("src", "dst"), ("source", "target"), ("source", "destination"), ("from", "to")),
    *(("u", "v"), ("head", "tail"), ("src_id", "dst_id"), ("source_id", "target_id")),
    *(("node1", "node2"), ("node_1", "node_2"), ("row", "col"), ("i", "j")),
)
"""Names of columns that hold edges."""
_INDEX = ("", "index", "id", "edge", "edge_id", "unnamed: 0", "no", "nr")
"""Names of a first column that numbers the lines."""


class _Layout(NamedTuple):
    """Where the nodes of an edge stand in a line."""

    comma: bool
    """Whether commas separate the fields."""
    columns: tuple[int, int]


def read_edge_text(path: Path) -> NDArray[np.int64]:
    """Reads the edges of a text file, of shape `[2, E]`.

    NumPy parses the lines; if it fails, they are read one by one to find the wrong
    line.

    Raises:
        ValueError: If a line is not an edge, or if there are no edges.
    """
    with _open(path) as file:
        numbered = enumerate(file, 1)
        line, layout = _first_edge(path, numbered)
        remaining = itertools.chain([line], (text for _, text in numbered))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # e.g. integers that NumPy truncates
                edges = np.loadtxt(
                    remaining,
                    np.int64,
                    comments=_COMMENTS,
                    delimiter="," if layout.comma else None,
                    usecols=layout.columns,
                    ndmin=2,
                )
        except (ValueError, OverflowError, Warning):
            edges = _read_lines(path)
    if edges.min() < 0 or edges.max() >= MAX_NODES:
        edges = _read_lines(path)
    return np.ascontiguousarray(edges.T)


def _open(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", errors="replace")


def _first_edge(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[str, _Layout]:
    """The first line with an edge, and where its nodes stand."""
    header: list[str] | None = None
    for number, line in lines:
        if line.startswith("%%MatrixMarket"):
            raise ValueError(
                f"{path} is a Matrix Market file: read it with 'scipy.io.mmread' and "
                f"write it with 'scipy.sparse.save_npz'"
            )
        text = _strip(line)
        if not text:
            continue
        # After a number; names of columns may hold spaces.
        comma = re.match(r"[^\s,]*\s*,|[^\d,][^,]*,", text) is not None
        fields = _fields(text, comma)
        if header is None and len(fields) > 1 and not any(map(_is_number, fields[:2])):
            header = [field.strip("\"'").lower() for field in fields]
            continue
        layout = _Layout(comma, _columns(header, len(fields)))
        _check_line(path, number, line, layout)
        return line, layout
    raise ValueError(f"{path}: holds no edges")


def _columns(header: list[str] | None, num_fields: int) -> tuple[int, int]:
    """The columns of a table that hold sources and destinations."""
    if header is None:
        return 0, 1
    unnamed = num_fields - len(header) == 1  # the header leaves out an index
    for source, target in _PAIRS:
        if source in header and target in header:
            return header.index(source) + unnamed, header.index(target) + unnamed
    first = int(unnamed or (len(header) > 2 and header[0] in _INDEX))
    return first, first + 1


def _read_lines(path: Path) -> NDArray[np.int64]:
    """The edges, line by line; raises the error of the first wrong line."""
    with _open(path) as file:
        numbered = enumerate(file, 1)
        first, layout = _first_edge(path, numbered)
        edges = [_check_line(path, 0, first, layout)]
        for number, line in numbered:
            if _strip(line):
                edges.append(_check_line(path, number, line, layout))
    return np.array(edges, np.int64)


def _check_line(path: Path, number: int, line: str, layout: _Layout) -> list[int]:
    comma = layout.comma
    fields = _fields(_strip(line), comma)
    fields = [fields[i] for i in layout.columns if i < len(fields)]
    where = f"{path}, line {number}"
    if len(fields) < 2 or not all(re.fullmatch(r"[+-]?\d+", f) for f in fields):
        shown = line.strip()
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        split = " separated by a comma" if comma and "," not in line else ""
        raise ValueError(f"{where}: expected two integers{split} (got '{shown}')")
    edge = [int(field) for field in fields]
    for value in edge:
        if not 0 <= value < MAX_NODES:
            raise ValueError(
                f"{where}: a node number must be in [0, 2**31 - 1) (got {value})"
            )
    return edge


def _strip(line: str) -> str:
    return re.split("[#%]", line, maxsplit=1)[0].strip()


def _fields(text: str, comma: bool) -> list[str]:
    return [f.strip() for f in text.split(",")] if comma else text.split()


def _is_number(field: str) -> bool:
    return re.match(r"[+-]?\.?\d", field) is not None
