"""What a benchmark leaves behind: a table, a CSV file, and where it ran."""

import csv
import os
import platform
from collections.abc import Sequence
from typing import Any

import numba
import torch
import torch_geometric

import pyg_hag


def environment() -> str:
    """One line on the machine and the versions."""
    return (
        f"{_processor()}, {torch.get_num_threads()} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, torch_geometric "
        f"{torch_geometric.__version__}, numba {numba.__version__}, pyg_hag "
        f"{pyg_hag.__version__}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def write_csv(path: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes one line per row, with the environment in the last column.

    Unless the row has its own. What a row lacks is left empty.
    """
    columns = dict.fromkeys(key for row in rows for key in row)
    columns.pop("environment", None)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, "environment"])
        writer.writeheader()
        for row in rows:
            writer.writerow({"environment": environment(), **row})


def read_csv(path: str) -> list[dict[str, str]]:
    """The rows of a file that :func:`write_csv` has written; none if there is none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
