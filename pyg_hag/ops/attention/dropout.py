"""Which coefficients of attention are dropped: a hash of the seed, edge and head."""

from typing import NamedTuple

import torch
from torch import Tensor

_MASK = (1 << 32) - 1


class Dropout(NamedTuple):
    """Coefficients that are dropped independently, each with probability `p`.

    Attributes:
        p: The probability, above 0 and at most 1.
        seed: What decides which: a number of 63 bits.
    """

    p: float
    seed: int

    @property
    def threshold(self) -> int:
        """Hashes of 32 bits below it are dropped."""
        return min(round(self.p * 2**32), _MASK)

    @property
    def scale(self) -> float:
        """What others are multiplied by, so that the mean stays."""
        return 0.0 if self.p >= 1 else 1 / (1 - self.p)


def new_dropout(p: float) -> Dropout:
    """Dropout with a seed from PyTorch's generator, as `torch.manual_seed` sets it."""
    return Dropout(p, int(torch.randint(2**63 - 1, ()).item()))


def kept(dropout: Dropout, num_edges: int, num_heads: int) -> Tensor:
    """The factors of all coefficients, `[num_edges, num_heads]`: 0, or the scale."""
    state = torch.arange(num_edges) * _signed(0x9E3779B97F4A7C15) + dropout.seed
    state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
    state = state ^ _shifted(state, 31)
    head = torch.arange(num_heads) * 0x9E3779B9
    x = ((state & _MASK)[:, None] + head) & _MASK
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & _MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & _MASK
    x = x ^ (x >> 16)
    return (x >= dropout.threshold).double() * dropout.scale


def _signed(number: int) -> int:
    """A number of 64 bits as PyTorch's int64 of the same bits."""
    return number - (1 << 64) if number >> 63 else number


def _shifted(x: Tensor, by: int) -> Tensor:
    """A logical shift to the right."""
    return (x >> by) & ((1 << (64 - by)) - 1)
