"""`python -m pyg_hag.benchmark`: measures, prints a table and saves its rows."""

import argparse
import sys
import warnings
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from pyg_hag.benchmark import (
    accuracy,
    aggregate,
    attention,
    cost,
    gpu,
    int8,
    layers,
    lstm,
    memory,
    metapaths,
    models,
    paper,
    reduce,
    search,
    train,
)
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._document import document
from pyg_hag.benchmark._environment import environment, report
from pyg_hag.benchmark._graphs import WIDTHS
from pyg_hag.benchmark._report import Rows, Table, markdown
from pyg_hag.benchmark._runner import collect, run_all
from pyg_hag.runtime.first_use import readiness
from pyg_hag.utils.tables import text_table

MODULES = (
    *(search, aggregate, reduce, models, attention, train, lstm, layers, memory),
    *(metapaths, cost, int8, paper, accuracy),
)
BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK for module in MODULES
}
"""The benchmarks, by name, in the order of `all`."""
_EXPECTED = (
    "Sparse (CSR tensor support|invariant checks)",
    "no layer of 'model' can share",  # attention, to compare
)
OTHERS = ("gpu", "all", "tables", "environment")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pyg_hag.benchmark",
        description="Measures pyg_hag beside PyTorch and PyG. 'all' runs every "
        "benchmark into a folder; 'tables FOLDER' makes a page of its CSV files; 'gpu' "
        "checks and measures a GPU.",
    )
    add = parser.add_argument
    add("benchmark", nargs="?", choices=[*BENCHMARKS, *OTHERS])
    add("graphs", nargs="*", help="default: all in the data folder; tables: the folder")
    add("--root", help="data folder ($PYG_HAG_DATA)")
    add("--out", help="CSV file to write; all, gpu: folder")
    add("--quick", action="store_true", help="generated graphs, few widths and rounds")
    resume = "all: leave out the benchmarks whose CSV file is in the folder"
    add("--resume", action="store_true", help=resume)
    add("--rounds", type=_positive, help="the largest number of rounds")
    add(
        "--device",
        choices=["cpu", "cuda"],
        help="aggregate, train, gpu (default: cuda for gpu, cpu for the others)",
    )
    add("--markdown", action="store_true", help="print Markdown")
    widths = f"feature widths (default: {WIDTHS}, on cuda up to 256)"
    add("--widths", type=_positive, nargs="+", default=[], help=widths)
    plot = "PNG file to write (default: next to the CSV file)"
    add("--plot", nargs="?", const="", help=plot)
    add("--env", action="store_true", help="print what a report of a fault needs")
    add("--self-loops", action="store_true", help="search: closed neighbourhoods")
    for name, choices, what in (
        ("--dataset", None, "accuracy: data sets, like graphs"),
        ("--model", None, "models, accuracy: the models (default: all)"),
        ("--method", list(accuracy.METHODS), "accuracy: methods (default: all)"),
    ):
        add(name, nargs="+", default=[], choices=choices, help=what)
    add("--runs", type=_positive, help="accuracy: seeds or folds (default: 10)")
    add("--epochs", type=_positive, help="accuracy: epochs (default: 200)")
    add("--first", type=int, default=0, help="accuracy: the first seed or fold")
    add("--save", help="accuracy: folder for the trained models")
    add("--fit", help="cost: JSON file to write the fitted constants to")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 (got {value})")
    return value


def main() -> int:
    """Runs one benchmark, or all; returns the exit status."""
    parser = _parser()
    options = parser.parse_args()
    if options.env or options.benchmark == "environment":
        print(report())
        return 0
    if options.benchmark is None:
        parser.error(f"name one of {', '.join([*BENCHMARKS, *OTHERS])}")
    if options.plot and not options.plot.endswith(".png"):
        parser.error(f"'--plot' takes a PNG file (got {options.plot!r})")
    for message in _EXPECTED:
        warnings.filterwarnings("ignore", message=message)
    names = [field.name for field in fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    try:
        return _run(options, settings)
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, settings: Settings) -> int:
    name = options.benchmark
    if name == "tables":
        if len(settings.graphs) != 1:
            raise ValueError(
                "'tables' takes one folder, with the CSV files of 'all --out FOLDER' "
                f"(got {list(settings.graphs)})"
            )
        print(document(settings.graphs[0], BENCHMARKS))
        return 0
    readiness.compile_now()  # else what runs first is Python while a process compiles
    if name == "all":
        if settings.out is None:
            raise ValueError("'all' needs the folder for its files: --out FOLDER")
        plots = options.plot is not None
        return run_all(BENCHMARKS.values(), settings, settings.out, plots)
    if name == "gpu":
        table = gpu.run(settings, _gpu_saver(settings))
    else:
        table = _one(BENCHMARKS[name], settings, _picture(options))
    print((markdown if options.markdown else text_table)(table))
    print(f"\n{environment()}")
    return 0


def _one(benchmark: Benchmark, settings: Settings, picture: str | None) -> Table:
    parts = benchmark.measure(settings)
    rows = collect(benchmark.name, parts, settings, settings.out)
    if picture is not None:
        benchmark.plot(rows, picture)
    return benchmark.table(rows)


def _picture(options: argparse.Namespace) -> str | None:
    """The PNG file to write."""
    if options.plot != "":
        plot: str | None = options.plot
        return plot
    if options.out is None:
        raise ValueError("'--plot' needs a file, or the CSV file that '--out' names")
    return str(Path(options.out).with_suffix(".png"))


def _gpu_saver(settings: Settings) -> gpu.Save:
    folder = Path(settings.out or "gpu")
    used = replace(settings, device=settings.device or "cuda")

    def save(name: str, parts: Iterable[Rows], benchmark: Benchmark | None) -> Rows:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.csv"
        known = name if benchmark is None else benchmark.name
        rows = collect(known, parts, used, str(file))
        if name == "aggregate" and benchmark is not None:
            benchmark.plot(rows, str(file.with_suffix(".png")))
        return rows

    return save


if __name__ == "__main__":
    sys.exit(main())
