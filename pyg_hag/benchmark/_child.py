"""Measurements in a process of their own, which is stopped where it takes too much."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pyg_hag.benchmark._report import Rows

MAX_SECONDS = 600.0
MAX_BYTES = 24 * 10**9
_FREE = 0.85  # of the memory that is free, at most
_PERIOD = 0.02  # seconds between two looks at the process


@dataclass(frozen=True)
class Outcome:
    """What a process has measured.

    Attributes:
        rows: What it has written.
        failed: Why it was stopped before it was done; None if it was not.
    """

    rows: Rows
    failed: str | None


def run_child(module: str, task: dict[str, Any]) -> Outcome:
    """Runs a module that writes rows as lines of JSON.

    Args:
        module: The module; its argument is the task as JSON.
        task: What to measure.

    Returns:
        Outcome: Its rows, also of a process that took more than :data:`MAX_SECONDS`,
        or more memory than :data:`MAX_BYTES` or most of what is free (Linux).

    Raises:
        ValueError: If it fails for any other reason.
    """
    command = [sys.executable, "-m", module, json.dumps(task)]
    limit = min(MAX_BYTES, int(_FREE * _free_bytes()))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=out, stderr=errors) as process:
            try:
                failed = _watch(process, limit)
            finally:
                process.kill()
        if failed is None and process.returncode:
            failed = _reason(process.returncode, _lines(errors))
        return Outcome([json.loads(line) for line in _lines(out)], failed)


def _watch(process: "subprocess.Popen[bytes]", limit: int) -> str | None:
    """Waits until a process is done, or says which limit it has reached."""
    end = time.monotonic() + MAX_SECONDS
    while process.poll() is None:
        if _resident_bytes(process.pid) > limit:
            return f"more than {limit / 1e9:.1f} GB"
        if time.monotonic() > end:
            return f"more than {MAX_SECONDS:.0f} s"
        time.sleep(_PERIOD)
    return None


def _reason(status: int, errors: list[str]) -> str:
    """Why a process ended with a status.

    Raises:
        ValueError: If that was for no lack of memory.
    """
    last = errors[-1] if errors else f"exit status {status}"
    if status == -9:
        return "killed by the system"
    if any(word in last.lower() for word in ("memory", "alloc")):
        return "cannot allocate"
    raise ValueError(f"a process that was to measure has failed: {last}")


def _lines(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().splitlines()


def _resident_bytes(pid: int) -> int:
    """The memory of a process; 0 where the system does not tell, or it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _free_bytes() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable"))
