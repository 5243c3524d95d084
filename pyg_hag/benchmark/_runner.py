"""Runs benchmarks: from their rows to files."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._environment import machine, report
from pyg_hag.benchmark._report import Row, Rows, markdown, write_csv
from pyg_hag.utils.files import write_text
from pyg_hag.utils.tables import text_table


def collect(
    name: str, parts: Iterable[Rows], settings: Settings, path: str | None
) -> Rows:
    """All rows, with how they were measured, which are written as they come.

    Args:
        name: The name of the benchmark.
        parts: The rows.
        settings: What they were measured with.
        path: The CSV file; what is done stays there if the rest fails.
    """
    last = machine(settings.device) | {"command": settings.command(name)}
    rows: Rows = []
    for part in parts:
        rows += [_stamped(name, row, last) for row in part]
        if path is not None and rows:
            write_csv(path, rows)
    return rows


def _stamped(name: str, row: Row, last: Mapping[str, str]) -> Row:
    if "versions" in row or "environment" in row:  # measured before, now resumed
        return row
    return {"benchmark": name, **row, **last}


def run_all(
    benchmarks: Iterable[Benchmark], settings: Settings, folder: str, plot: bool
) -> int:
    """Runs benchmarks one after the other, into files of a folder.

    Args:
        benchmarks: What to measure.
        settings: How.
        folder: Gets a CSV and a Markdown file each, and `environment.txt`. A CSV file
            is named `.csv.part` until its benchmark is done.
        plot: Whether to draw a PNG file each.

    Returns:
        The exit status: 2 if one could not run, which is said in a line.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "environment.txt", f"{report()}\n")
    status = 0
    for benchmark in benchmarks:
        file = place / f"{benchmark.name}.csv"
        begun = place / f"{benchmark.name}.csv.part"
        if settings.resume and file.exists():
            print(f"{benchmark.name}: kept, as it is in '{file}'\n", flush=True)
            continue
        try:
            parts = benchmark.measure(replace(settings, out=None))
            rows = collect(benchmark.name, parts, settings, str(begun))
            begun.replace(file)
        except ValueError as error:
            print(f"benchmark {benchmark.name}: {error}", file=sys.stderr)
            status = 2
            continue
        table = benchmark.table(rows)
        text = f"{benchmark.about}\n\n{markdown(table)}\n"
        write_text(file.with_suffix(".md"), text)
        if plot:
            benchmark.plot(rows, str(file.with_suffix(".png")))
        print(f"{benchmark.name}\n\n{text_table(table)}\n", flush=True)
    return status
