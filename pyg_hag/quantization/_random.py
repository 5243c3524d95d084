"""Random numbers that depend on a seed, a step and a place alone.

So the same step draws the same on every device, in compiled code as well, and a model
that goes on from a file draws what it would have drawn.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._jit import jit

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15
_MIX = (-4658895280553007687, -7723592293110705685)
_MANTISSA = 24


@torch.library.custom_op("pyg_hag::random_bits", mutates_args=())
def bits(seed: Tensor, step: Tensor, count: int) -> Tensor:
    """63 random bits for each place (SplitMix64), int64 of shape `[count]`.

    An operator, because `torch.compile` of torch 2.13 makes code of it that writes
    beyond its arrays.
    """
    if seed.device.type == "cpu":
        return torch.from_numpy(_drawn(int(_start(seed, step)), count))
    place = torch.arange(count, device=seed.device)
    state = _start(seed, step) + (place + 1) * _GOLDEN
    return _shifted(_mixed(state), 1)


@bits.register_fake
def _(seed: Tensor, step: Tensor, count: int) -> Tensor:
    return seed.new_empty(count)


def uniform(seed: Tensor, step: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1), float32 of shape `[count]`."""
    return (bits(seed, step, count) >> (63 - _MANTISSA)) * 2.0**-_MANTISSA


def _start(seed: Tensor, step: Tensor) -> Tensor:
    return _mixed(seed * _GOLDEN + step)


def _mixed(x: Tensor) -> Tensor:
    for shift, factor in zip((30, 27), _MIX, strict=True):
        x = (x ^ _shifted(x, shift)) * factor
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """To the right, with zeros behind."""
    return (x >> by) & ((1 << (64 - by)) - 1)


@jit
def _drawn(start: int, count: int) -> NDArray[np.int64]:
    """The same, in one pass."""
    out = np.empty(count, np.int64)
    state: Any = np.uint64(start)
    for i in range(count):
        state += np.uint64(_GOLDEN)
        x = state
        x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX[0])
        x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX[1])
        out[i] = np.int64((x ^ (x >> np.uint64(31))) >> np.uint64(1))
    return out
