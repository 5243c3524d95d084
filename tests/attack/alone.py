"""Runs an attack in a process of its own, so that a crash is a failing test."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent


NOTHING_KEPT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
"""Freed memory goes back to the system, so that what is taken can be measured."""


def alone(attack, *arguments, timeout=600):
    """What an attack prints, by name; fails if its process does not end well.

    Args:
        attack: A function of `attack.files`, `attack.pickles`, ... as `"files.name"`.
        *arguments: Its arguments, which it gets as text.
        timeout: Seconds after which the process hangs.
    """
    module, name = attack.split(".")
    code = f"import sys; from attack.{module} import {name}; {name}(*sys.argv[1:])"
    command = [sys.executable, "-X", "faulthandler", "-c", code, *map(str, arguments)]
    own = {"PYTHONPATH": str(TESTS), "PYG_HAG_COMPILE": "now"} | NOTHING_KEPT
    environment = os.environ | own
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert done.returncode == 0, (
        f"{attack}{arguments} ended with {done.returncode}:\n"
        f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
