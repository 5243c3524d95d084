"""What a measurement depends on: machine, versions, commit."""

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import pyg_hag
from pyg_hag.runtime import first_use

PACKAGES = (
    *("torch", "torch_geometric", "numba", "llvmlite", "numpy", "scipy"),
    *("torch_scatter", "torch_sparse", "triton"),
)
FLAGS = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
"""Instruction sets that decide which code runs, on x86 and on ARM."""
_NONE = "none"


def machine(device: str | None = None) -> dict[str, str]:
    """The columns of every row: what it was measured on, and with what.

    Args:
        device: The type of the device that was measured; the CPU if None.
    """
    on_gpu = device == "cuda" and torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else processor(),
        "threads": str(torch.get_num_threads()),
        "versions": _versions(on_gpu),
        "commit": commit(),
    }


def environment() -> str:
    """One line with the machine and the versions."""
    gpu = f"{_gpu()}, " if torch.cuda.is_available() else ""
    threads = torch.get_num_threads()
    return f"{gpu}{processor()}, {threads} threads, {_versions(False)}"


def report() -> str:
    """What a report of a fault needs, one line each."""
    lines = {
        "pyg_hag": f"{pyg_hag.__version__} in {Path(pyg_hag.__file__).parent}",
        "commit": commit() or _NONE,
        **{name: _version(name) for name in PACKAGES},
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "OS": platform.platform(),
        "CPU": f"{processor()}, {os.cpu_count()} logical cores",
        "instructions": " ".join(_flags()) or "unknown",
        "threads": str(torch.get_num_threads()),
        "GPU": _gpu() if torch.cuda.is_available() else _NONE,
        "compiled code": _compiled(),
        **{name: value for name, value in os.environ.items() if _matters(name)},
    }
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines.items())


def _matters(name: str) -> bool:
    return name.startswith(("PYG_HAG_", "NUMBA_", "OMP_", "MKL_", "KMP_"))


def _versions(on_gpu: bool) -> str:
    names = ["torch", "torch_geometric", "numba", "numpy"]
    parts = [f"{name} {_version(name)}" for name in names]
    if on_gpu:
        parts += [f"CUDA {torch.version.cuda}", f"triton {_version('triton')}"]
    python = f"Python {platform.python_version()}"
    return ", ".join([python, *parts, f"pyg_hag {pyg_hag.__version__}"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _NONE


@functools.cache
def processor() -> str:
    """The name of the CPU."""
    found = _cpu_info("model name")
    return found or platform.processor() or platform.machine()


def _flags() -> list[str]:
    there = (_cpu_info("flags") or _cpu_info("Features")).split()
    return [flag for flag in FLAGS if flag in there]


def _cpu_info(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    parts = (line.partition(":") for line in lines if line.startswith(field))
    return next((text.strip() for _, _, text in parts), "")


@functools.cache
def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = (_output(query) or "unknown").split("\n")[0]
    name, cuda = torch.cuda.get_device_name(), torch.version.cuda
    return f"{name}, driver {driver}, CUDA {cuda}, Triton {_version('triton')}"


@functools.cache
def commit() -> str:
    """The commit of these sources, `-dirty` if they were changed; "" without one."""
    package = Path(pyg_hag.__file__).parent.resolve()
    git = ["git", "-C", str(package)]
    top = _output([*git, "rev-parse", "--show-toplevel"])
    if not top or Path(top).resolve() != package.parent:
        return ""  # installed below someone else's repository
    return _output([*git, "describe", "--always", "--dirty", "--exclude", "*"])


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _compiled() -> str:
    folder = first_use._folder()
    if folder is None:
        return "not kept: no writable folder"
    state = "complete" if first_use.is_complete() else "not complete"
    return f"{folder.parent}, {state}"
