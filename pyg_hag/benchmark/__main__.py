"""`python -m pyg_hag.benchmark`: measures, prints a table and saves its rows."""

import argparse
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable

from pyg_hag.benchmark import (
    accuracy,
    aggregate,
    aggregate_device,
    cost,
    gpu,
    int8,
    layers,
    lstm,
    memory,
    models,
    reduce,
    search,
    train,
)
from pyg_hag.benchmark._report import environment
from pyg_hag.datasets import GENERATED, is_there
from pyg_hag.utils.tables import markdown_table, text_table

WIDTHS = [16, 64, 128, 256, 512]
GRAPHS = [
    *("MUTAG", "BZR", "BZR_MD", "ENZYMES", "PROTEINS", "IMDB-BINARY", "IMDB-MULTI"),
    *("REDDIT-BINARY", "COLLAB", "Cora", "CS", "Photo", "Computers", "cornell5"),
    *("ego-Facebook", "ca-AstroPh", "email-Enron", "Gowalla_bip", "HeCo_DBLP_APCPA"),
    "cnr-2000",
]
"""The default graphs; those that are not in the data folder are left out."""

Table = list[list[str]]
Command = Callable[[Namespace], Table]
PerWidth = Callable[[list[str], str | None, str | None, list[int]], Table]


def _graphs(options: Namespace, default: list[str]) -> list[str]:
    """The graphs that were named, or the default ones that are available."""
    chosen: list[str] = options.graphs
    return chosen or [
        name for name in default if name in GENERATED or is_there(name, options.root)
    ]


def _per_width(run: PerWidth) -> Command:
    """The command of a benchmark of several graphs and feature widths."""

    def command(options: Namespace) -> Table:
        graphs = _graphs(options, GRAPHS)
        return run(graphs, options.root, options.out, options.widths or WIDTHS)

    return command


def _search(options: Namespace) -> Table:
    graphs = _graphs(options, GRAPHS)
    return search.run(graphs, options.root, options.out, options.self_loops)


def _aggregate(options: Namespace) -> Table:
    on_gpu = options.device == "cuda"
    run = aggregate_device.run if on_gpu else aggregate.run
    graphs = _graphs(options, aggregate_device.GRAPHS if on_gpu else GRAPHS)
    widths = options.widths or (aggregate_device.WIDTHS if on_gpu else WIDTHS)
    return run(graphs, options.root, options.out, widths, options.plot)


def _train(options: Namespace) -> Table:
    device = options.device or "cpu"
    return train.run(options.graphs, options.root, options.out, device)


def _cost(options: Namespace) -> Table:
    graphs, widths = _graphs(options, GRAPHS), options.widths or WIDTHS
    outputs = options.out, widths, options.plot, options.fit
    return cost.run(graphs, options.root, *outputs)


def _accuracy(options: Namespace) -> Table:
    return accuracy.run(
        options.dataset or options.graphs or ["Cora"],
        options.root,
        options.out,
        options.model,
        options.method,
        options.runs,
        options.epochs,
        options.save,
        options.first,
    )


def _int8(options: Namespace) -> Table:
    return int8.run(options.graphs, options.root, options.out)


def _gpu(options: Namespace) -> Table:
    graphs = _graphs(options, aggregate_device.GRAPHS)
    widths = options.widths or aggregate_device.WIDTHS
    folder, device = options.out or "gpu", options.device or "cuda"
    return gpu.run(graphs, options.root, folder, widths, device)


COMMANDS: dict[str, Command] = {
    "search": _search,
    "aggregate": _aggregate,
    "reduce": _per_width(reduce.run),
    "models": _per_width(models.run),
    "train": _train,
    "lstm": _per_width(lstm.run),
    "layers": _per_width(layers.run),
    "memory": _per_width(memory.run),
    "cost": _cost,
    "accuracy": _accuracy,
    "int8": _int8,
    "gpu": _gpu,
}
"""The benchmarks, by name."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pyg_hag.benchmark")
    add = parser.add_argument
    add("benchmark", choices=[*COMMANDS, "environment"])
    add("graphs", nargs="*", help="default: all in the data folder")
    add("--root", help="data folder ($PYG_HAG_DATA)")
    add("--out", help="CSV file to write; gpu: folder")
    add(
        "--device",
        choices=["cpu", "cuda"],
        help="aggregate, train, gpu (default: cuda for gpu, cpu for the others)",
    )
    add("--markdown", action="store_true", help="print Markdown")
    widths = f"feature widths (default: {WIDTHS}, on cuda up to 256)"
    add("--widths", type=int, nargs="+", help=widths)
    add("--plot", help="aggregate, cost: PNG file to write")
    add("--self-loops", action="store_true", help="search: closed neighbourhoods")
    add("--dataset", nargs="+", help="accuracy: data sets, like graphs")
    add("--model", nargs="+", help="accuracy: models to train (default: all)")
    add("--method", nargs="+", choices=accuracy.METHODS, help="accuracy: methods")
    add("--runs", type=int, default=10, help="accuracy: number of seeds or of folds")
    add("--epochs", type=int, default=200, help="accuracy: number of epochs")
    add("--first", type=int, default=0, help="accuracy: the first seed or fold")
    add("--save", help="accuracy: folder for the trained models")
    add("--fit", help="cost: JSON file to write the fitted constants to")
    return parser


def main() -> int:
    """Runs one benchmark; returns the exit status."""
    options = _parser().parse_args()
    if options.benchmark == "environment":
        print(environment())
        return 0
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    try:
        table = COMMANDS[options.benchmark](options)
    except (ImportError, ValueError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print((markdown_table if options.markdown else text_table)(table))
    print(f"\n{environment()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
