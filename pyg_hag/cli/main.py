"""The command `pyg-hag`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pyg_hag import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `pyg-hag`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="pyg-hag", description="GNN aggregation without redundant work."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands)
    _add_analyze(commands)
    options = vars(parser.parse_args(arguments))
    try:
        print(_command(options.pop("command"))(**options))
    except ValueError as error:
        print(f"pyg-hag: {error}", file=sys.stderr)
        return 2
    return 0


def _command(name: str) -> Callable[..., str]:
    """The function of a command; imports what it needs, which takes seconds."""
    if name == "demo":
        from pyg_hag.cli.demo import run_demo

        return run_demo
    from pyg_hag.cli.analyze import run_analysis

    return run_analysis


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train the same models on edge_index and on a HAG, and compare",
        description="Trains GIN on a graph-classification set and GCN on a node-"
        "classification set, each with PyG's layers on edge_index and with ours on "
        "the HAG, from the same seed, and prints a table.",
    )
    demo.add_argument(
        "--root", help="folder of data sets in PyG's layout ($PYG_HAG_DATA)"
    )
    demo.add_argument(
        "--graphs",
        nargs="*",
        metavar="NAME",
        help="data sets of graph classification, such as IMDB-BINARY",
    )
    demo.add_argument(
        "--nodes",
        nargs="*",
        metavar="NAME",
        help="data sets of node classification, such as Cora; without these and "
        "--graphs: generated graphs that gain, and Cora, which is left as it is",
    )
    demo.add_argument("--epochs", type=_positive, help="default: 10")
    demo.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    demo.add_argument(
        "--objective",
        choices=["aggregations", "time"],
        default="time",
        help="objective of the search: least time (default), which leaves a graph as "
        "it is if a HAG would not pay off, or fewest aggregations",
    )
    demo.add_argument(
        "--generated", action="store_true", help="use generated graphs, no data sets"
    )
    demo.add_argument("--markdown", action="store_true", help="print Markdown")


def _add_analyze(commands: Any) -> None:
    analyze = commands.add_parser(
        "analyze",
        help="report what a HAG would save on a graph, before any training",
        description="Measures the redundancy of a graph and predicts, for several "
        "numbers of features, time and memory of a sum by PyG on edge_index, by "
        "pyg_hag on the graph as it is, and by pyg_hag on its HAG.",
    )
    analyze.add_argument(
        "graph",
        metavar="PATH_OR_DATASET",
        help="a file (.npz with edge_index or from scipy.sparse.save_npz, .npy, .pt, "
        ".mtx, .csv, .txt, .tsv, .edges, also packed as .csv.gz and so on) or the name "
        "of a data set, such as Cora or COLLAB",
    )
    analyze.add_argument(
        "--root", help="folder of data sets in PyG's layout ($PYG_HAG_DATA)"
    )
    analyze.add_argument(
        "--widths",
        nargs="+",
        type=_positive,
        metavar="N",
        help="numbers of features to predict times for (default: 16 64 128 256)",
    )
    analyze.add_argument(
        "--cost",
        metavar="FILE",
        help="cost model of this machine, from 'python -m pyg_hag.benchmark cost "
        "--fit FILE' (default: measured on two cores of a server)",
    )
    analyze.add_argument(
        "--plot",
        metavar="FILE",
        help="write in-degrees and predicted times as a figure",
    )
    analyze.add_argument(
        "--add-self-loops", action="store_true", help="add a self-loop to every node"
    )
    analyze.add_argument(
        "--undirected",
        action="store_true",
        help="add the reverse of every edge that lacks it: most edge lists hold each "
        "edge once",
    )
    analyze.add_argument(
        "--measure",
        action="store_true",
        help="measure PyG, the plain graph and the HAG here, instead of predicting "
        "(about a second for each number of features)",
    )
    analyze.add_argument("--markdown", action="store_true", help="print Markdown")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 (got {value})")
    return value
