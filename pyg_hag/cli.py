"""The command `pyg-hag`."""

import argparse
import sys
from collections.abc import Sequence

from pyg_hag import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `pyg-hag`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="pyg-hag", description="GNN aggregation without redundant work."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="train the same models on edge_index and on a HAG, and compare",
        description="Trains GIN on a graph-classification set and GCN on a node-"
        "classification set, each with PyG's layers on edge_index and with ours on "
        "the HAG, from the same seed, and prints one table.",
    )
    demo.add_argument(
        "--root", help="folder of data sets in PyG's layout ($PYG_HAG_DATA)"
    )
    demo.add_argument(
        "--graphs",
        nargs="*",
        default=["IMDB-BINARY"],
        metavar="NAME",
        help="graph-classification sets of TUDataset (default: IMDB-BINARY)",
    )
    demo.add_argument(
        "--nodes",
        nargs="*",
        default=["Cora"],
        metavar="NAME",
        help="node-classification sets (default: Cora)",
    )
    demo.add_argument("--epochs", type=_positive, help="default: 10 (GIN), 100 (GCN)")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument(
        "--generated", action="store_true", help="use generated graphs, no data sets"
    )
    demo.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(arguments)

    from pyg_hag.demo import run_demo  # imports PyTorch and PyG: seconds

    try:
        print(run_demo(**{k: v for k, v in vars(options).items() if k != "command"}))
    except ValueError as error:
        print(f"pyg-hag: {error}", file=sys.stderr)
        return 2
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 (got {value})")
    return value


if __name__ == "__main__":
    sys.exit(main())
