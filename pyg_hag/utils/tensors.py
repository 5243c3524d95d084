"""Small helpers for tensors."""

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

T = TypeVar("T")


def computed_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which features are summed: float32, or float64 for float64.

    Integers are summed as they are.
    """
    if not x.dtype.is_floating_point:
        return x.dtype
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def equal(a: Tensor, b: Tensor) -> bool:
    """`torch.equal`, which hangs in a forked child of a process that has used threads.

    PyTorch's own thread pool does not survive a fork; what HAGs and data need of it is
    done by NumPy.
    """
    if not (_is_numpy(a) and _is_numpy(b)) or a.dtype != b.dtype:
        return torch.equal(a, b)
    return np.array_equal(a.detach().numpy(), b.detach().numpy())


def copied(tensor: Tensor) -> Tensor:
    """A contiguous copy that requires no gradient; without PyTorch's threads, too."""
    tensor = tensor.detach()
    if _is_numpy(tensor):
        return torch.from_numpy(tensor.numpy().copy())
    return tensor.clone(memory_format=torch.contiguous_format)


def flipped(edge_index: Tensor) -> Tensor:
    """`edge_index.flip(0)`; without PyTorch's threads, too."""
    if _is_numpy(edge_index):
        return torch.from_numpy(edge_index.detach().numpy()[::-1].copy())
    return edge_index.flip(0)


def is_everywhere(tensor: Tensor, value: float) -> bool:
    """Whether all numbers equal a value; without PyTorch's threads, too."""
    if _is_numpy(tensor):
        return bool((tensor.detach().numpy() == value).all())
    return bool((tensor == value).all())


def as_int64(numbers: Tensor) -> Tensor:
    """Integers as int64: themselves, or a copy; without PyTorch's threads, too."""
    if numbers.dtype == torch.int64 or not _is_numpy(numbers):
        return numbers.long()
    return torch.from_numpy(numbers.detach().numpy().astype(np.int64))


def ends(numbers: Tensor) -> tuple[int, int]:
    """The smallest and the largest of some integers; without PyTorch's threads, too."""
    if _is_numpy(numbers):
        values = numbers.detach().numpy()
        return int(values.min()), int(values.max())
    low, high = numbers.aminmax()
    return int(low), int(high)


def _is_numpy(tensor: Tensor) -> bool:
    """Whether NumPy can read a tensor where it is."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype != torch.bfloat16
        and not (tensor.is_conj() or tensor.is_neg())
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


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
    gradient, nor a tracer's fake tensor, nor one that `torch.func` has wrapped.
    """
    tracing = torch._C._get_tracing_state()  # of torch.jit.trace
    with contextlib.ExitStack() as stack:
        if tracing is not None:
            set_tracing: Any = torch._C._set_tracing_state  # type: ignore[attr-defined]
            set_tracing(None)
            stack.callback(set_tracing, tracing)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_disable_current_modes())
        _keep = torch._C._DisableFuncTorch()  # until it is deleted
        yield
        del _keep


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made in inference mode."""
    if not tensor.is_inference():
        return tensor
    with ordinary_tensors():
        return tensor.clone()


class kept_property(cached_property[T]):
    """A `cached_property` whose tensors later code can use in any mode."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        @wraps(function)
        def made(instance: Any) -> T:
            with ordinary_tensors():
                return function(instance)

        super().__init__(made)
