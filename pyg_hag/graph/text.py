"""Edge lists as text: two integers per line, or two named columns of a table."""

import gzip
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
_SAMPLE = 1000  # lines that are looked at to tell edges from lists of neighbours
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
    has_names: bool
    """Whether nodes are named by text rather than numbered."""


def read_edge_text(path: Path) -> NDArray[np.int64]:
    """Reads the edges of a text file, of shape `[2, E]`.

    NumPy parses the lines; if it fails, they are read one by one to find the wrong
    line.

    Raises:
        ValueError: If a line is not an edge, or if there are no edges.
    """
    with open_text(path) as file:
        numbered = enumerate(file, 1)
        line, layout = _first_edge(path, numbered)
        following = [*itertools.islice(numbered, _SAMPLE)]
        if layout.has_names:
            return _read_names(path)
        _refuse_adjacency_lists(path, [line, *(text for _, text in following)], layout)
        rest = (text for _, text in itertools.chain(following, numbered))
        remaining = itertools.chain([line], rest)
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


def open_text(path: Path) -> Any:
    """A text file, or what is packed in one that ends with `.gz`."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
    return path.open(encoding="utf-8-sig", errors="replace")


def _first_edge(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[str, _Layout]:
    """The first line with an edge, and where its nodes stand."""
    header: list[str] | None = None
    first = ""
    for number, line in lines:
        if line.startswith("%%MatrixMarket"):
            raise ValueError(f"{path} is a Matrix Market file: name it .mtx")
        text = _strip(line)
        if not text:
            continue
        # After a number; names of columns may hold spaces.
        comma = re.match(r"[^\s,]*\s*,|[^\d,][^,]*,", text) is not None
        fields = _fields(text, comma)
        names = len(fields) > 1 and not any(map(_is_number, fields[:2]))
        if header is None and names:
            header = [field.strip("\"'").lower() for field in fields]
            first = line
            continue
        columns = _columns(header, len(fields))
        if header is not None and _are_names(fields, columns):
            is_header = columns != (0, 1) or tuple(header[:2]) in _PAIRS
            return (line if is_header else first), _Layout(comma, columns, True)
        layout = _Layout(comma, columns, False)
        _check_line(path, number, line, layout)
        return line, layout
    raise ValueError(f"{path}: holds no edges")


def _are_names(fields: list[str], columns: tuple[int, int]) -> bool:
    chosen = [fields[i] for i in columns if i < len(fields)]
    return len(chosen) == 2 and not any(map(_is_number, chosen))


def _refuse_adjacency_lists(path: Path, lines: list[str], layout: _Layout) -> None:
    """Raises an error if lines list neighbours: whole numbers, not always as many."""
    fields = [_fields(_strip(line), layout.comma) for line in lines if _strip(line)]
    counts = {len(numbers) for numbers in fields}
    if len(counts) < 2 or max(counts) < 3 or layout.columns != (0, 1):
        return
    if all(number.isdigit() for numbers in fields for number in numbers):
        raise ValueError(
            f"{path}: lines hold {min(counts)} to {max(counts)} numbers, as in lists "
            f"of neighbours: write one edge per line, a source and a destination"
        )


def _read_names(path: Path) -> NDArray[np.int64]:
    """Edges between nodes that are named by text, numbered as they appear."""
    numbers: dict[str, int] = {}
    with open_text(path) as file:
        lines = enumerate(file, 1)
        first, layout = _first_edge(path, lines)
    edges = []
    with open_text(path) as file:
        is_edge = False  # from the first one on
        for number, line in enumerate(file, 1):
            is_edge = is_edge or line == first
            text = _strip(line)
            if not is_edge or not text:
                continue
            fields = _fields(text, layout.comma)
            names = [fields[i].strip("\"'") for i in layout.columns if i < len(fields)]
            if len(names) < 2 or not all(names) or all(map(_is_number, names)):
                raise ValueError(
                    f"{path}, line {number}: expected the names of two nodes, as "
                    f"in '{_shortened(first)}' (got '{_shortened(line)}')"
                )
            edges.append([numbers.setdefault(name, len(numbers)) for name in names])
    return np.array(edges, np.int64).T


def _shortened(line: str) -> str:
    text = line.strip()
    return text if len(text) <= 40 else f"{text[:40]}..."


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
    with open_text(path) as file:
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
        shown = _shortened(line)
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
