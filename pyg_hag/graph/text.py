"""Edge lists as text: two integers per line."""

import itertools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag.graph.checks import MAX_NODES

_COMMENTS = ["#", "%"]


def read_edge_text(path: Path) -> NDArray[np.int64]:
    """Reads the edges of a text file, of shape `[2, E]`.

    NumPy parses the lines; if it fails, they are read one by one to find the wrong
    line.

    Raises:
        ValueError: If a line is not an edge, or if there are no edges.
    """
    with _open(path) as file:
        numbered = enumerate(file, 1)
        line, comma = _first_edge(path, numbered)
        remaining = itertools.chain([line], (text for _, text in numbered))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # e.g. integers that NumPy truncates
                edges = np.loadtxt(
                    remaining,
                    np.int64,
                    comments=_COMMENTS,
                    delimiter="," if comma else None,
                    usecols=(0, 1),
                    ndmin=2,
                )
        except (ValueError, OverflowError, Warning):
            edges = _read_lines(path)
    if edges.min() < 0 or edges.max() >= MAX_NODES:
        edges = _read_lines(path)
    return np.ascontiguousarray(edges.T)


def _open(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", errors="replace")


def _first_edge(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[str, bool]:
    """The first line with an edge, and whether a comma separates its nodes."""
    header = None
    for number, line in lines:
        if line.startswith("%%MatrixMarket"):
            raise ValueError(
                f"{path} is a Matrix Market file: read it with 'scipy.io.mmread' and "
                f"write it with 'scipy.sparse.save_npz'"
            )
        text = _strip(line)
        if not text:
            continue
        comma = re.match(r"[^\s,]*\s*,", text) is not None
        fields = _fields(text, comma)
        if header is None and len(fields) > 1 and not any(map(_is_number, fields[:2])):
            header = number
            continue
        _check_line(path, number, line, comma)
        return line, comma
    raise ValueError(f"{path}: holds no edges")


def _read_lines(path: Path) -> NDArray[np.int64]:
    """The edges, line by line; raises the error of the first wrong line."""
    with _open(path) as file:
        numbered = enumerate(file, 1)
        first, comma = _first_edge(path, numbered)
        edges = [_check_line(path, 0, first, comma)]
        for number, line in numbered:
            if _strip(line):
                edges.append(_check_line(path, number, line, comma))
    return np.array(edges, np.int64)


def _check_line(path: Path, number: int, line: str, comma: bool) -> list[int]:
    fields = _fields(_strip(line), comma)[:2]
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
