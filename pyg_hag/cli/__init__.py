"""The command line: `pyg-hag demo`, `pyg-hag analyze`."""

from pyg_hag.cli.main import main

__all__ = ["main"]
