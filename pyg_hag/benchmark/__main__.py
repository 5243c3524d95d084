"""`python -m pyg_hag.benchmark`: measures, prints a table and saves the rows."""

import argparse
import sys
import warnings

from pyg_hag._table import markdown_table, text_table
from pyg_hag.benchmark import aggregate, cost, search
from pyg_hag.benchmark._report import environment

SMALL = ["MUTAG", "BZR_MD", "IMDB-BINARY", "Cora"]
CHOICES = ["search", "aggregate", "cost", "environment"]
LARGE = ["ego-Facebook", "ca-AstroPh", "COLLAB"]


def main() -> int:
    """Runs one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyg_hag.benchmark")
    parser.add_argument("benchmark", choices=CHOICES)
    parser.add_argument("graphs", nargs="*", help=f"default: {SMALL + LARGE}")
    parser.add_argument("--root", help="folder of data sets ($PYG_HAG_DATA)")
    parser.add_argument("--out", help="CSV file to write")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--plot", help="cost: PNG file to write")
    parser.add_argument(
        "--self-loops", action="store_true", help="search: closed neighbourhoods"
    )
    parser.add_argument("--fit", help="cost: JSON file to write fitted constants to")
    options = parser.parse_args()
    if options.benchmark == "environment":
        print(environment())
        return 0
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    names = options.graphs or SMALL + LARGE
    try:
        if options.benchmark == "search":
            table = search.run(names, options.root, options.out, options.self_loops)
        elif options.benchmark == "cost":
            table = cost.run(
                names,
                options.root,
                options.out,
                options.widths,
                options.plot,
                options.fit,
            )
        else:
            table = aggregate.run(names, options.root, options.out, options.widths)
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print((markdown_table if options.markdown else text_table)(table))
    print(f"\n{environment()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
