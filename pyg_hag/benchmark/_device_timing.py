"""Timing on a device: calls in sequence, each on different inputs."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyg_hag.benchmark._timing import Times

_CACHE = 50 << 20  # bytes of the largest second-level caches
MAX_COPIES = 32

Call = Callable[[int], Any]
"""Processes input number i."""


def copies_of(size: int, free: int | None = None) -> int:
    """Number of inputs of `size` bytes to cycle through so that none stays in a cache.

    At most :data:`MAX_COPIES`, and no more than fit in a tenth of the free memory.
    """
    wanted = min(MAX_COPIES, 2 + 2 * _CACHE // max(1, size))
    return wanted if free is None else max(2, min(wanted, free // (10 * max(1, size))))


def measure_calls(
    rivals: Mapping[str, Call],
    copies: int,
    device: str,
    rounds: int = 11,
    budget: float = 5.0,
) -> tuple[dict[str, Times], set[str]]:
    """Times the rivals in turn, each on all inputs, in a different order each round.

    On CUDA, the calls of a rival are captured into a graph, with an event before and
    after it, so that only the device's work is timed. Calls that cannot be captured
    are made directly.

    Args:
        rivals: The functions to call, by name.
        copies: Number of inputs.
        device: The type of the device.
        rounds: Number of rounds.
        budget: Seconds after which no further round starts (at least three run).

    Returns:
        tuple: Seconds of one call, round by round, by name; and the names of the
        rivals that were captured.
    """
    is_cuda = device == "cuda"
    runs: dict[str, Callable[[], Any]] = {}
    captured = set()
    for name, call in rivals.items():
        for i in range(min(3, copies)):
            call(i)
        graph = _captured(call, copies) if is_cuda else None
        if graph is not None:
            captured.add(name)
        runs[name] = graph or _in_turn(call, copies)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(0)
    begin = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - begin > budget:
            break
        for name in order.sample(list(runs), len(runs)):
            run = runs[name]
            run()  # leaves the caches as the timed run will find them
            took = _by_events(run) if is_cuda else _by_clock(run)
            seconds[name].append(took / copies)
    return {name: Times(tuple(values)) for name, values in seconds.items()}, captured


def _in_turn(call: Call, copies: int) -> Callable[[], None]:
    def run() -> None:
        for i in range(copies):
            call(i)

    return run


def _captured(call: Call, copies: int) -> Callable[[], None] | None:
    """The calls as a CUDA graph, or None if they cannot be captured."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for i in range(copies):
                call(i)
    except RuntimeError:  # it waits for the device
        torch.cuda.synchronize()
        return None
    replay: Callable[[], None] = graph.replay
    return replay


def _by_events(run: Callable[[], Any]) -> float:
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    run()
    last.record()
    last.synchronize()
    milliseconds: float = first.elapsed_time(last)
    return 1e-3 * milliseconds


def _by_clock(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
