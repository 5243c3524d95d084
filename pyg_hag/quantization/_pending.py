"""Results that wait until it is known what becomes of them.

What comes behind an INT8 layer, such as a bias, an addition, a norm or ReLU, and the
rounding to the codes of the next layer, belongs into the layer's own kernel. So a layer
gives a result that is not computed yet; these operators add to it, and the next layer
asks for its codes. Any other operator gets float32.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from pyg_hag.ops.codes import Epilogue, Rest, Scale, round_to_codes
from pyg_hag.quantization import _codes


class Pending:
    """A matrix of features that is not computed yet.

    Args:
        make: Computes it, with what becomes of it.
        shape: Its shape.
        device: Where it will be.
        source: What gives it: a layer.
        after: What becomes of it, as far as it is known.
    """

    def __init__(
        self,
        make: Callable[[Epilogue], Tensor],
        shape: tuple[int, int],
        device: torch.device,
        source: Any = None,
        after: Epilogue | None = None,
    ) -> None:
        self.make, self.source, self.device = make, source, device
        self.shape = torch.Size(shape)
        self.after = after or Epilogue()
        self._known: list[tuple[Scale | None, Tensor | None, Tensor]] = []

    dtype = torch.float32
    requires_grad = False

    @property
    def is_cuda(self) -> bool:
        """Whether it will be on CUDA."""
        return self.device.type == "cuda"

    def size(self, dim: int | None = None) -> Any:
        """Its shape."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Two."""
        return 2

    def float(self) -> Tensor:
        """Its values."""
        return self._computed(None, None)

    def codes(self, to: Scale, factor: Tensor | None = None) -> "_codes.Codes":
        """Its codes, of values times a factor for each row."""
        return _codes.Codes(self._computed(to, factor), to)

    def _computed(self, to: Scale | None, factor: Tensor | None) -> Tensor:
        for known_to, known_factor, out in self._known:
            if known_to == to and known_factor is factor:
                return out
        out = self.make(self.after._replace(to=to, next_scale=factor))
        self._known.append((to, factor, out))
        return out

    # What comes behind it:

    def _followed(self, **changes: Any) -> "Pending":
        after = self.after._replace(**changes)
        rows, columns = self.shape
        return Pending(self.make, (rows, columns), self.device, self.source, after)

    def relu(self) -> "Pending":
        """What is not negative."""
        return self._followed(relu=True)

    def affine(self, gain: Tensor | None, shift: Tensor) -> Any:
        """Times and plus one number for each feature."""
        after = self.after
        if after.relu:
            return self._rounded_behind(gain, shift)
        if gain is None:
            bias = shift if after.bias is None else after.bias + shift
            return self._followed(bias=bias)
        bias = shift if after.bias is None else torch.addcmul(shift, after.bias, gain)
        changes = {"bias": bias, "gain": _times(after.gain, gain)}
        if after.rest is not None:
            changes["rest_gain"] = _times(after.rest_gain, gain)
        return self._followed(**changes)

    def _rounded_behind(self, gain: Tensor | None, shift: Tensor) -> "Pending":
        """What is affine behind ReLU: in float32, but for its rounding to codes."""

        def make(after: Epilogue) -> Tensor:
            values, gain, bias = self.float(), after.gain, after.bias
            if after.to is not None and not after.relu and after.rest is None:
                return round_to_codes(values, after.to, after.next_scale, gain, bias)
            values = values if gain is None else values * gain
            values = values if bias is None else values + bias
            return finished(values, after)

        after = Epilogue(gain=gain, bias=shift)
        rows, columns = self.shape
        return Pending(make, (rows, columns), self.device, None, after)

    def plus(self, rest: Rest, gain: Tensor | None = None) -> Any:
        """Plus what further codes stand for, times one number for each feature."""
        if self.after.relu or self.after.rest is not None:
            values = rest.values()
            return self.float() + (values if gain is None else values * gain)
        return self._followed(rest=rest, rest_gain=gain)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Pending):
            first, second = (other, self) if other._is_free() else (self, other)
            codes = second._as_rest() if first._is_free() else None
            if codes is not None:
                return first.plus(codes)
            return self.float() + other.float()
        if isinstance(other, Tensor) and other.shape == self.shape[1:]:
            return self.affine(None, other)
        return self.float() + other

    __radd__ = __add__

    def _is_free(self) -> bool:
        """Whether codes can be added, and nothing is computed yet."""
        return not (self._known or self.after.relu or self.after.rest is not None)

    def _as_rest(self) -> Rest | None:
        """Its codes, if they were asked for before."""
        for to, factor, out in self._known:
            if to is not None and factor is None:
                return Rest(out, to.scale, to.zero)
        return None

    # Everything else needs its values:

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.float(), name)

    def __getitem__(self, index: Any) -> Tensor:
        return self.float()[index]

    def __len__(self) -> int:
        return self.shape[0]

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
        args, kwargs = tree_map(computed, (args, kwargs))
        return function(*args, **kwargs)


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: Pending, *args: Any) -> Any:
        return getattr(torch.Tensor, name)(self.float(), *map(computed, args))

    return apply


for _name in ("sub", "rsub", "mul", "rmul", "truediv", "matmul", "rmatmul", "neg"):
    setattr(Pending, f"__{_name}__", _operator(f"__{_name}__"))


def computed(x: Any) -> Any:
    """The values, if x is pending; else x."""
    return x.float() if isinstance(x, Pending) else x


def finished(values: Tensor, after: Epilogue) -> Tensor:
    """What becomes of float32 values behind gain and bias."""
    if after.rest is not None:
        rest = after.rest.values()
        gain = after.rest_gain
        values = values + (rest if gain is None else rest * gain)
    values = values.relu() if after.relu else values
    if after.to is None:
        return values
    return round_to_codes(values, after.to, after.next_scale)


def _times(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a * b


def _relu(x: Any, inplace: bool = False) -> Any:
    return x.relu()


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: Any = 0) -> Any:
    return NotImplemented if training else x


def _batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or running_mean is None or running_var is None:
        return NotImplemented
    gain, shift = folded(running_mean, running_var, weight, bias, eps)
    for recorder in _recorders:
        recorder.append((x, running_mean))
    return x.affine(gain, shift)


def folded(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """A norm as what it multiplies and adds."""
    gain = (var + eps).rsqrt()
    gain = gain if weight is None else gain * weight
    shift = -mean * gain
    return gain, shift if bias is None else shift + bias


def _add(x: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    if alpha != 1 or out is not None:
        return NotImplemented
    return x + other if isinstance(x, Pending) else other + x


_HANDLERS: dict[Any, Callable[..., Any]] = {
    F.relu: _relu,
    torch.relu: _relu,
    F.dropout: _dropout,
    F.batch_norm: _batch_norm,
    torch.add: _add,
    torch.Tensor.add: _add,
    torch.Tensor.__add__: _add,
    torch.Tensor.__radd__: _add,
}
_recorders: list[list[tuple[Pending, Tensor]]] = []
"""Where norms behind pending results are noted."""
