"""DeferredTensor: what INT8 layers return, a tensor that may not be computed yet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map


class DeferredTensor(Tensor):
    """A float32 matrix that is computed at the first operation on it.

    Some operations do not compute it, but extend its epilogue: biases, norms in
    evaluation, and ReLU. An INT8 layer that reads it gets its
    quantized values. All other operations get its values as a plain tensor, which it
    consists of from then on: what they change in place stays changed.

    Args:
        deferred: The :class:`~pyg_hag.quantization.int8.deferred.Deferred` result.
    """

    deferred: Any

    @staticmethod
    def __new__(cls, deferred: Any) -> "DeferredTensor":
        """A tensor without memory of its own."""
        make: Any = torch.Tensor._make_wrapper_subclass
        out: DeferredTensor = make(
            cls, deferred.shape, dtype=torch.float32, device=deferred.device
        )
        out.deferred = deferred
        return out

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        handler = _HANDLERS.get(function)
        if handler is not None:
            out = handler(*args, **kwargs)
            if out is not NotImplemented:
                return out
        if function in _METADATA and args[0].deferred.value is None:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        return _on_values(function, args, kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _on_values(function, args, kwargs or {})

    # These do not ask for the function above, or expect a tensor like this one:

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return repr(self.deferred.float())

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        out: Tensor = self.deferred.float().__deepcopy__(memo)
        memo[id(self)] = out
        return out

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.deferred.float().__reduce_ex__(protocol)

    __hash__ = object.__hash__


def materialize(x: Any) -> Any:
    """The values of a deferred tensor as a plain one; anything else unchanged."""
    return x.deferred.float() if isinstance(x, DeferredTensor) else x


def _on_values(function: Any, args: Any, kwargs: Any) -> Any:
    """The result of a function on plain tensors.

    Functions that return one of their arguments, as those in place do, return it here.
    """
    found: list[tuple[Tensor, DeferredTensor]] = []

    def value_of(x: Any) -> Any:
        if not isinstance(x, DeferredTensor):
            return x
        found.append((x.deferred.float(), x))
        return found[-1][0]

    args, kwargs = tree_map(value_of, (args, kwargs))
    out = function(*args, **kwargs)
    return next((x for value, x in found if value is out), out)


_METADATA = {
    *(getattr(Tensor, name).__get__ for name in (
        "shape", "dtype", "device", "layout", "ndim", "requires_grad", "is_cuda",
        "is_cpu", "is_sparse", "is_mkldnn", "is_quantized", "is_meta", "is_nested",
    )),
    *(getattr(Tensor, name) for name in (
        "size", "dim", "numel", "nelement", "ndimension", "is_floating_point",
        "is_complex", "is_contiguous", "stride", "element_size", "get_device",
        "__len__", "is_inference",
    )),
}  # fmt: skip
"""What is known of a result before it is computed."""


# Functions that extend the epilogue ###########################################

_records: list[list[tuple[Any, Tensor]]] = []


@contextmanager
def record_norms() -> Iterator[list[tuple[Any, Tensor]]]:
    """Lists the batch norms of deferred tensors: each input, and its running mean."""
    record: list[tuple[Any, Tensor]] = []
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def norm_as_affine(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """The scale and shift of a norm with these statistics, float32 `[F]`."""
    channel_scale = (var + eps).rsqrt()
    channel_scale = channel_scale if weight is None else channel_scale * weight
    shift = -mean * channel_scale
    return channel_scale, shift if bias is None else shift + bias


def _extended(x: "DeferredTensor", deferred: Any, inplace: bool) -> Any:
    """The tensor of a result with more in its epilogue, in place if that is asked."""
    if not inplace:
        return DeferredTensor(deferred)
    x.deferred = deferred
    return x


def _relu(input: Any, inplace: bool = False) -> Any:
    deferred = input.deferred
    if deferred.value is not None:
        return NotImplemented
    return _extended(input, deferred.relu(), inplace)


def _dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    return NotImplemented if training else input


def _batch_norm(
    input: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    known = running_mean, running_var, weight, bias
    if (
        training
        or not isinstance(input, DeferredTensor)
        or input.deferred.value is not None
        or running_mean is None
        or running_var is None
        or any(isinstance(x, DeferredTensor) for x in known)
    ):
        return NotImplemented
    deferred = input.deferred
    for record in _records:
        record.append((deferred, running_mean))
    norm = norm_as_affine(running_mean, running_var, weight, bias, eps)
    return DeferredTensor(deferred.affine(*norm))


def _add(
    input: Any,
    other: Any,
    *args: Any,
    alpha: Any = 1,
    out: Any = None,
    inplace: bool = False,
) -> Any:
    if args:  # the old order, with `alpha` first
        return NotImplemented
    if alpha != 1 or out is not None:
        return NotImplemented
    if not isinstance(input, DeferredTensor):
        if inplace:
            return NotImplemented
        input, other = other, input
    if not _is_bias(other) or input.deferred.value is not None:
        return NotImplemented
    if not isinstance(other, torch.nn.Parameter):
        other = other.clone()  # it may change before the sum is computed
    total = input.deferred.plus(other)
    return NotImplemented if total is None else _extended(input, total, inplace)


def _is_bias(x: Any) -> bool:
    """Whether it is a vector that a kernel can add."""
    return (
        isinstance(x, Tensor)
        and not isinstance(x, DeferredTensor)
        and x.dim() == 1
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
    )


_HANDLERS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
    **dict.fromkeys((torch.relu_, Tensor.relu_), partial(_relu, inplace=True)),
    F.dropout: _dropout,
    F.batch_norm: _batch_norm,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), _add),
    **dict.fromkeys((Tensor.add_, Tensor.__iadd__), partial(_add, inplace=True)),
}
