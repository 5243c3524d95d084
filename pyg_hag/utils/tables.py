"""Plain tables for the terminal and for Markdown."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows as aligned columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_join(row, widths, "  ") for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows as a table in GitHub-flavoured Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {_join(row, widths, ' | ')} |" for row in rows]
    rules = ["-" * width + (":" if i else "-") for i, width in enumerate(widths)]
    lines.insert(1, f"|-{'|-'.join(rules)}|".replace(":|", ":|"))
    return "\n".join(lines)


def _join(row: Sequence[str], widths: Sequence[int], between: str) -> str:
    cells = (
        cell.rjust(width) if i else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return between.join(cells).rstrip()
