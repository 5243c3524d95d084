"""Timing as ratios: all rivals in turn, round after round, in one run."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import torch

_WARM = 2e-3  # seconds


@dataclass(frozen=True)
class Times:
    """Seconds of one rival, round by round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the rounds took less."""
        return self.quantile(50)

    def quantile(self, percent: int) -> float:
        """So many percent of the rounds took less."""
        if len(self.seconds) == 1:
            return self.seconds[0]
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def speedup_over(self, other: "Times") -> float:
        """Median of the other's time over this one's, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Times(tuple(b / a for a, b in pairs)).median


def measure(
    rivals: Mapping[str, Callable[[], Any]],
    rounds: int = 15,
    budget: float = 10.0,
) -> dict[str, Times]:
    """Times the rivals in turn, in another order each round.

    Before each timed call stand calls that do not count, one or as many as fit in two
    milliseconds: a rival finds the machine as it leaves it itself, not as the one
    before it does.

    Args:
        rivals: What to call, by name.
        rounds: How often.
        budget: Seconds after which no further round starts (three run anyway).
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    order = random.Random(0)
    begin = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - begin > budget:
            break
        for name in order.sample(list(rivals), len(rivals)):
            call = rivals[name]
            start = time.perf_counter()
            while True:
                call()
                if time.perf_counter() - start > _WARM:
                    break
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def trained(call: Callable[[], Any]) -> None:
    """A call and its gradient, of ones that lie in memory: expanded ones are slow."""
    out = call()
    out.backward(torch.ones_like(out))
