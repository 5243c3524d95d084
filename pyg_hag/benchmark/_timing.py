"""Timing for ratios: all rivals take turns, round after round, in one run."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor

_WARM = 2e-3  # seconds


@dataclass(frozen=True)
class Times:
    """Seconds that a rival took, round by round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds, in seconds."""
        return self.quantile(50)

    def quantile(self, percent: int) -> float:
        """Percentile of the rounds, in seconds."""
        if len(self.seconds) == 1:
            return self.seconds[0]
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def speedups_over(self, other: "Times") -> "Times":
        """The other's time divided by this one's, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Times(tuple(b / a for a, b in pairs))

    def speedup_over(self, other: "Times") -> float:
        """Median over the rounds of the other's time divided by this one's."""
        return self.speedups_over(other).median


def measure(
    rivals: Mapping[str, Callable[[], Any]],
    rounds: int = 15,
    budget: float = 10.0,
) -> dict[str, Times]:
    """Times the rivals in turn, in a different order each round.

    Each timed call follows untimed ones of the same rival, for at least two
    milliseconds: caches and threads are then in the state that it leaves itself, not
    in that of the rival before.

    Args:
        rivals: The functions to call, by name.
        rounds: Number of rounds.
        budget: Seconds after which no further round starts (at least three run).
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


def trained(call: Callable[[], Tensor], leaves: Iterable[Tensor]) -> list[Any]:
    """Runs a call and its backward pass, for a dense gradient of ones.

    Autograd's own expanded ones would be slow.

    Args:
        call: Computes the output.
        leaves: What gradients are asked for.

    Returns:
        list: The output, and the gradients, without those that are None.
    """
    leaves = [*leaves]
    for leaf in leaves:
        leaf.grad = None
    out = call()
    out.backward(torch.ones_like(out))
    return [out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]
