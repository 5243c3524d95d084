"""Tables for notebooks."""

from collections.abc import Sequence
from html import escape

_LEFT, _RIGHT = "style='text-align:left'", "style='text-align:right'"


def html_facts(caption: str, facts: Sequence[Sequence[str]]) -> str:
    """A table of names, values and, where given, notes on them."""
    rows = [
        f"<tr><th {_LEFT}>{escape(name)}</th><td {_RIGHT}>{escape(value)}</td>"
        f"<td {_LEFT}>{''.join(map(escape, notes))}</td></tr>"
        for name, value, *notes in facts
    ]
    return _table(caption, rows)


def html_table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    """A table of rows; the first row is the header, the first column names."""
    head, *body = [[escape(cell) for cell in row] for row in rows]
    lines = ["".join(f"<th {_LEFT}>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td {_LEFT}>{cell}</td>" for cell in row) for row in body]
    return _table(caption, [f"<tr>{line}</tr>" for line in lines])


def _table(caption: str, rows: Sequence[str]) -> str:
    title = f"<caption {_LEFT}>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}{''.join(rows)}</table>"
