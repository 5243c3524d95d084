"""`python -m pyg_hag.benchmark`: measures, prints a table and saves the rows."""

import argparse
import sys
import warnings

from pyg_hag._table import markdown_table, text_table
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
from pyg_hag.datasets import is_there

WIDTHS = [16, 64, 128, 256, 512]
CHOICES = [
    *("search", "aggregate", "reduce", "models", "train", "lstm", "layers", "memory"),
    *("cost", "accuracy", "int8", "gpu", "environment"),
]
WITH_WIDTHS = {
    "memory": memory.run,
    "reduce": reduce.run,
    "lstm": lstm.run,
    "layers": layers.run,
    "models": models.run,
}
GRAPHS = [
    *("MUTAG", "BZR", "BZR_MD", "ENZYMES", "PROTEINS", "IMDB-BINARY", "IMDB-MULTI"),
    *("REDDIT-BINARY", "COLLAB", "Cora", "CS", "Photo", "Computers", "cornell5"),
    *("ego-Facebook", "ca-AstroPh", "email-Enron", "Gowalla_bip", "HeCo_DBLP_APCPA"),
    "cnr-2000",
]
"""The graphs that are measured where none are named; those that can be had."""


def main() -> int:
    """Runs one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyg_hag.benchmark")
    parser.add_argument("benchmark", choices=CHOICES)
    parser.add_argument("graphs", nargs="*", help="default: all in the folder")
    parser.add_argument("--root", help="folder of data sets ($PYG_HAG_DATA)")
    parser.add_argument("--out", help="CSV file to write; gpu: folder")
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        help="aggregate, train, gpu: where (default: gpu on cuda, the others on cpu)",
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument(
        "--widths", type=int, nargs="+", help=f"default: {WIDTHS}, cuda: up to 256"
    )
    parser.add_argument("--plot", help="aggregate, cost: PNG file to write")
    parser.add_argument(
        "--self-loops", action="store_true", help="search: closed neighbourhoods"
    )
    parser.add_argument(
        "--dataset", nargs="+", help="accuracy: data sets, as graphs are named"
    )
    parser.add_argument("--model", nargs="+", help="accuracy: some of the models")
    parser.add_argument(
        "--method", nargs="+", choices=accuracy.METHODS, help="accuracy: some of them"
    )
    parser.add_argument(
        "--runs", type=int, default=10, help="accuracy: seeds, or folds of 10"
    )
    parser.add_argument("--epochs", type=int, default=200, help="accuracy")
    parser.add_argument(
        "--first", type=int, default=0, help="accuracy: the first seed, or fold"
    )
    parser.add_argument("--save", help="accuracy: folder for the trained models")
    parser.add_argument("--fit", help="cost: JSON file to write fitted constants to")
    options = parser.parse_args()
    if options.benchmark == "environment":
        print(environment())
        return 0
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    try:
        names = options.graphs or [n for n in GRAPHS if is_there(n, options.root)]
        on_device = [
            name
            for name in aggregate_device.GRAPHS
            if name in aggregate_device.GENERATED or is_there(name, options.root)
        ]
        is_on_gpu = options.benchmark == "gpu" or options.device == "cuda"
        usual = aggregate_device.WIDTHS if is_on_gpu else WIDTHS
        widths = options.widths or usual
        if options.benchmark == "search":
            table = search.run(names, options.root, options.out, options.self_loops)
        elif options.benchmark == "gpu":
            table = gpu.run(
                options.graphs or on_device,
                options.root,
                options.out or "gpu",
                widths,
                options.device or "cuda",
            )
        elif options.benchmark == "aggregate" and options.device == "cuda":
            table = aggregate_device.run(
                options.graphs or on_device,
                options.root,
                options.out,
                widths,
                options.plot,
            )
        elif options.benchmark == "int8":
            table = int8.run(options.graphs, options.root, options.out)
        elif options.benchmark == "accuracy":
            table = accuracy.run(
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
        elif options.benchmark == "cost":
            table = cost.run(
                names,
                options.root,
                options.out,
                widths,
                options.plot,
                options.fit,
            )
        elif options.benchmark in WITH_WIDTHS:
            measured = WITH_WIDTHS[options.benchmark]
            table = measured(names, options.root, options.out, widths)
        elif options.benchmark == "train":
            device = options.device or "cpu"
            table = train.run(options.graphs, options.root, options.out, device)
        else:
            table = aggregate.run(
                names, options.root, options.out, widths, options.plot
            )
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print((markdown_table if options.markdown else text_table)(table))
    print(f"\n{environment()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
