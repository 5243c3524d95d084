"""Random numbers that depend only on a seed, a step and a position.

A step draws the same numbers on every device and in compiled code, and a model resumed
from a checkpoint draws what it would have drawn.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag.runtime.hashing import mix64
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # the constants of SplitMix64 as int64
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
_MANTISSA = 24


@torch.library.custom_op("pyg_hag::random_bits", mutates_args=())
def bits(seed: Tensor, step: Tensor, count: int) -> Tensor:
    """63 random bits for each position (SplitMix64), int64 of shape `[count]`.

    It is an operator because the code that `torch.compile` of torch 2.13 generates for
    these computations writes out of bounds.
    """
    if seed.device.type == "cpu":
        start = _initial_state(seed, step).reshape(1).numpy().view(np.uint64)
        return torch.from_numpy(_bits(start, count))
    position = torch.arange(count, device=seed.device)
    state = _initial_state(seed, step) + (position + 1) * _GOLDEN
    return _shift_right(_mix(state), 1)


@bits.register_fake
def _(seed: Tensor, step: Tensor, count: int) -> Tensor:
    return seed.new_empty(count)


def uniform(seed: Tensor, step: Tensor, count: int) -> Tensor:
    """Random numbers in [0, 1), float32 of shape `[count]`."""
    return (bits(seed, step, count) >> (63 - _MANTISSA)) * 2.0**-_MANTISSA


def _initial_state(seed: Tensor, step: Tensor) -> Tensor:
    return _mix(seed * _GOLDEN + step)


def _mix(x: Tensor) -> Tensor:
    """:func:`pyg_hag.runtime.hashing.mix64` of int64."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        x = (x ^ _shift_right(x, shift)) * factor
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, shift: int) -> Tensor:
    """A logical shift of int64: zeros come in from the left."""
    return (x >> shift) & ((1 << (64 - shift)) - 1)


@jit
def _bits(state: NDArray[np.uint64], count: int) -> I64:
    """The bits of :func:`bits` from the initial state `[1]`, `[count]`."""
    out = np.empty(count, np.int64)
    x: Any = state[0]
    for i in range(count):
        x += _STEP
        out[i] = np.int64(mix64(x) >> np.uint64(1))
    return out
