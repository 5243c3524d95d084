"""Small helpers for tensors."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes


def computed_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which features are summed: float32, or float64 for float64."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def per_row(scale: Tensor, x: Tensor) -> Tensor:
    """One factor per row, in the dtype of x and in a shape that broadcasts with x."""
    return scale.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def reciprocal(x: Tensor) -> Tensor:
    """1 / x, and 0 where x is 0."""
    out = 1.0 / x
    return out.masked_fill(out == torch.inf, 0.0)


@contextlib.contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Creates tensors that later code can use in any mode.

    A result that is kept must not be an inference tensor, which cannot be saved for a
    gradient, nor a tracer's fake tensor.
    """
    with torch.inference_mode(False), torch.no_grad(), _disable_current_modes():
        yield
