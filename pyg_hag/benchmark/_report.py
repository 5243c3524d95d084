"""The output of a benchmark: a CSV file, and a line about the environment."""

import csv
import functools
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numba
import torch
import torch_geometric

import pyg_hag


def environment() -> str:
    """One line with the machine and the versions."""
    return (
        f"{_gpu()}{_processor()}, {torch.get_num_threads()} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, torch_geometric "
        f"{torch_geometric.__version__}, numba {numba.__version__}, pyg_hag "
        f"{pyg_hag.__version__}"
    )


@functools.cache
def _gpu() -> str:
    if not torch.cuda.is_available():
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        driver = done.stdout.split("\n")[0].strip() or "unknown"
    except (OSError, subprocess.SubprocessError):
        driver = "unknown"
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    name, cuda = torch.cuda.get_device_name(), torch.version.cuda
    return f"{name}, driver {driver}, CUDA {cuda}, Triton {triton}, "


@functools.cache
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

    A row may bring its own environment. Missing values are left empty.
    """
    columns = dict.fromkeys(key for row in rows for key in row)
    columns.pop("environment", None)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, "environment"])
        writer.writeheader()
        for row in rows:
            writer.writerow({"environment": environment(), **row})


def read_csv(path: str) -> list[dict[str, str]]:
    """The rows of a file of :func:`write_csv`; none if there is no such file."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
