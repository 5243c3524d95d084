"""The rows of a benchmark, and their CSV file."""

import csv
import os
from collections.abc import Iterable, Sequence
from typing import Any

from pyg_hag.utils.files import replacing
from pyg_hag.utils.tables import markdown_table

Row = dict[str, Any]
Rows = list[Row]
Table = list[list[str]]

LAST = ("device", "threads", "versions", "commit", "command")
"""The last columns: what was measured on, with what, and how."""


def write_csv(path: str, rows: Sequence[Row]) -> None:
    """Writes one line per row. Missing values are left empty."""
    there = dict.fromkeys(key for row in rows for key in row)
    columns = [name for name in there if name not in LAST]
    columns += [name for name in LAST if name in there]
    with replacing(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str) -> Rows:
    """The rows of a file of :func:`write_csv`; none if there is no such file.

    Numbers are numbers again, and empty values are left out.
    """
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return [
            {
                key: text if key in LAST else _value(text)
                for key, text in row.items()
                if text
            }
            for row in csv.DictReader(file)
        ]


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        return text
    return number if set(text) & {*".en"} else int(text)


def markdown(table: Table) -> str:
    """A table in Markdown, in which a `|` of a cell is none of its own."""
    return markdown_table([[cell.replace("|", "\\|") for cell in r] for r in table])


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], Rows]:
    """The rows by their values in some columns, in order."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    return groups


def by_contender(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], Row]:
    """The row of each contender, by name, by their values in some columns."""
    return {
        key: {row["contender"]: row for row in group}
        for key, group in grouped(rows, *columns).items()
    }


def times(ratio: float | None, digits: int = 2) -> str:
    """A ratio as text; `-` for None."""
    return "-" if ratio is None else f"{ratio:.{digits}f}x"
