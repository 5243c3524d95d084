"""The command line of the benchmarks, for tests."""

import csv
import sys

from pyg_hag.benchmark import __main__ as benchmark


def run(monkeypatch, *arguments):
    """The exit status of a command, which runs few rounds."""
    words = ["benchmark", *map(str, arguments), "--rounds", "3"]
    monkeypatch.setattr(sys, "argv", words)
    return benchmark.main()


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))
