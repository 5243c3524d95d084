"""Graphs in the Matrix Market format: `i j` per line, counted from 1."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag.graph.checks import MAX_NODES

_FIELDS = "real", "integer", "complex", "pattern", "double"
_SYMMETRIES = "general", "symmetric", "skew-symmetric", "hermitian"


class _Header(NamedTuple):
    size: tuple[int, int]
    entries: int
    is_symmetric: bool


def read_matrix_market(
    path: Any, lines: Any
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Reads the edges of a sparse matrix, where entry (i, j) is the edge i -> j.

    Of a symmetric matrix, which the file holds half of, edges lead both ways.

    Args:
        path: The file, for messages.
        lines: An open text file.

    Returns:
        The edges, `[2, E]`, and the numbers of rows and columns.

    Raises:
        ValueError: If the file does not keep to the format.
    """
    header = _read_header(path, lines)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            table = np.loadtxt(lines, np.int64, comments="%", usecols=(0, 1), ndmin=2)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: an entry is not 'row column' ({error})") from error
    table = table.reshape(-1, 2)
    if len(table) != header.entries:
        raise ValueError(
            f"{path}: holds {len(table)} entries, but says {header.entries}: is it "
            f"whole?"
        )
    edges = table.T - 1
    for numbers, limit in zip(edges, header.size, strict=True):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < limit:
            wrong = numbers[(numbers < 0) | (numbers >= limit)][0] + 1
            raise ValueError(f"{path}: an index must be in [1, {limit}] (got {wrong})")
    if header.is_symmetric:
        other = edges[::-1, edges[0] != edges[1]]
        edges = np.concatenate([edges, other], axis=1)
    return np.ascontiguousarray(edges), header.size


def _read_header(path: Any, lines: Any) -> _Header:
    words = next(iter(lines), "").lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError(
            f"{path}: must begin with '%%MatrixMarket matrix coordinate ...'"
        )
    layout, field, symmetry = words[2:]
    if layout != "coordinate":
        raise ValueError(
            f"{path}: holds a dense matrix ('{layout}'): write the sparse one, whose "
            f"first line says 'coordinate'"
        )
    if field not in _FIELDS or symmetry not in _SYMMETRIES:
        raise ValueError(f"{path}: has an unknown kind of matrix '{field} {symmetry}'")
    for line in lines:
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        numbers = text.split()
        if len(numbers) != 3 or not all(n.isdigit() for n in numbers):
            break
        rows, columns, entries = map(int, numbers)
        if max(rows, columns) > MAX_NODES:
            raise ValueError(
                f"{path}: sizes must be below 2**31 (got {rows} x {columns})"
            )
        return _Header((rows, columns), entries, symmetry != "general")
    raise ValueError(f"{path}: has no line 'rows columns entries' after its header")
