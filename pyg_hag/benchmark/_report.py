"""What a benchmark leaves behind: a table, a CSV file, and where it ran."""

import csv
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

    What a row lacks is left empty.
    """
    columns = dict.fromkeys(key for row in rows for key in row)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, "environment"])
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "environment": environment()})
