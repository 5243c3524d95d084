"""What codes stand for, and what becomes of results that are made of them."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST = 255
"""The largest code of eight bits."""


class Scale(NamedTuple):
    """What codes stand for: `scale * (code - zero)`.

    Attributes:
        scale: What a step is worth.
        zero: The code of zero.
        most: The largest code, 255 or 15; the smallest is 0.
    """

    scale: float
    zero: int
    most: int = LARGEST

    @property
    def inverse(self) -> float:
        """One over the scale, rounded as float32 is."""
        return _inverse(self.scale)


@functools.lru_cache(1000)
def _inverse(scale: float) -> float:
    return torch.tensor(scale, dtype=torch.float32, device="cpu").reciprocal().item()


class Rest(NamedTuple):
    """Further codes, `[N, F]`, that are added: a residual."""

    codes: Tensor
    scale: float
    zero: int

    def values(self) -> Tensor:
        """What they stand for."""
        return (self.codes.float() - self.zero) * self.scale


class Epilogue(NamedTuple):
    """What becomes of a result before it is stored, in this order.

    Attributes:
        dst_scale: Factors of the rows, float32 `[N]`.
        gain: Factors of the features, float32 `[F]`.
        bias: What is added to the features, float32 `[F]`.
        rest: Codes that are added.
        rest_gain: Factors of their features, float32 `[F]`.
        relu: Whether what is negative becomes 0.
        next_scale: Factors of the rows, before they are rounded.
        to: What codes of the result stand for; if None, it is float32.
    """

    dst_scale: Tensor | None = None
    gain: Tensor | None = None
    bias: Tensor | None = None
    rest: Rest | None = None
    rest_gain: Tensor | None = None
    relu: bool = False
    next_scale: Tensor | None = None
    to: Scale | None = None
