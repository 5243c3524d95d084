"""Hashes of numbers, for jitted code."""

from typing import Any

import numpy as np

from pyg_hag.runtime.jit import jit


@jit
def mix64(z: Any) -> Any:
    """The finalizer of SplitMix64, from uint64 to uint64.

    Steele et al., *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014.
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def splitmix64(number: int) -> Any:
    """A 64-bit hash of a number: :func:`mix64` after a multiplication."""
    return mix64(np.uint64(number) * np.uint64(0x9E3779B97F4A7C15))


@jit
def hash_of_three(a: int, b: int, c: int) -> Any:
    """A 64-bit hash of three numbers. It must not change: files depend on it."""
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(c) * np.uint64(0x165667B19E3779F9)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))
