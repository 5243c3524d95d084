"""The page of all tables, from the CSV files of a folder."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from pyg_hag.benchmark import _kinds
from pyg_hag.benchmark._benchmark import Benchmark
from pyg_hag.benchmark._report import Rows, markdown, read_csv

_TITLE = "# Benchmarks"
_INTRODUCTION = (
    "Made by `python -m pyg_hag.benchmark tables FOLDER` from the CSV files of "
    "`python -m pyg_hag.benchmark all --out FOLDER`, or of single benchmarks, whose "
    "commands follow each table. Contenders take turns in one "
    "process, and are checked for equal results before. Milliseconds are medians, and "
    "speedups are medians of the ratios of all rounds; the files have the 20 and 80 % "
    "quantiles, too."
)


def document(folder: str, benchmarks: Mapping[str, Benchmark]) -> str:
    """A page in Markdown: each table, with its command and the machine.

    Args:
        folder: The folder with CSV files of benchmarks; others are left out. Files
            whose names differ after a `-` only, as `models.csv` and `models-more.csv`,
            make one table.
        benchmarks: All benchmarks, by name, in the order of the page.

    Raises:
        ValueError: If there is no such file.
    """
    found: dict[str, dict[str, Rows]] = {name: {} for name in benchmarks}
    for path in sorted(Path(folder).glob("*.csv"), key=lambda path: path.stem):
        rows = read_csv(str(path))
        name = rows[0].get("benchmark", path.stem) if rows else ""
        if name in found:
            found[name].setdefault(path.stem.split("-")[0], []).extend(rows)
    sections = [
        _section(benchmarks[name], rows)
        for name, files in found.items()
        for rows in files.values()
    ]
    if not sections:
        raise ValueError(
            f"'{folder}' has no CSV file of a benchmark: make them by "
            "'python -m pyg_hag.benchmark all --out FOLDER'"
        )
    models = found.get("models", {}).values()
    kinds = _kinds.table([row for rows in models for row in rows])
    if len(kinds) > 1:
        about = _wrapped(f"{_kinds.ABOUT} The rows are those of `models`, below.")
        sections.insert(0, "\n\n".join(["## Kinds of graphs", markdown(kinds), about]))
    return "\n\n".join([_TITLE, _wrapped(_INTRODUCTION), *sections])


def _section(benchmark: Benchmark, rows: Rows) -> str:
    table = markdown(benchmark.table(rows))
    parts = [f"## {benchmark.name}", table, _wrapped(benchmark.about), _made_by(rows)]
    return "\n\n".join(parts)


def _made_by(rows: Rows) -> str:
    """The commands and machines of the rows, which are several if it was resumed."""
    made = dict.fromkeys(
        (
            row.get("command", ""),
            row.get("device", ""),
            row.get("threads", ""),
            row.get("versions") or row.get("environment", ""),
            row.get("commit", ""),
        )
        for row in rows
    )
    return "\n\n".join(
        f"    {command or 'unknown command'}\n\n"
        + _wrapped(
            ", ".join(
                filter(
                    None,
                    [
                        device,
                        threads and f"{threads} threads",
                        versions,
                        commit and f"commit {commit}",
                    ],
                )
            )
        )
        for command, device, threads, versions, commit in made
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 90, break_long_words=False, break_on_hyphens=False)
