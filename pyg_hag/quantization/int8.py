"""The modules of an INT8 model."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_hag.ops.codes import (
    Epilogue,
    Scale,
    linear_codes,
    linear_rounded,
    packed,
    round_to_codes,
)
from pyg_hag.quantization._codes import Codes, Unrounded
from pyg_hag.quantization._pending import Pending, finished
from pyg_hag.quantization.fake_quantize import FakeQuantize
from pyg_hag.quantization.linear import QATLinear


class Rounder(nn.Module):
    """Rounds features to codes, with the range that was observed.

    Args:
        observer (FakeQuantize): What has observed it.
    """

    weighs = False

    def __init__(self, observer: FakeQuantize) -> None:
        super().__init__()
        self.scale: Scale | None = None
        if int(observer.num_observed) > 0:
            scale, zero = observer.parameters_of_codes()
            self.scale = Scale(float(scale), int(zero), observer.code_range[1])

    def rounded(
        self,
        x: Any,
        protected: None = None,
        factor: Tensor | None = None,
        once: bool = False,
        counts: None = None,
    ) -> Any:
        """The codes of features, times a factor for each row.

        If nothing but one product needs them, they may be made in parts there.
        """
        if self.scale is None:
            raise RuntimeError(
                "the INT8 model reads features of which none were observed before it "
                "was converted: train or calibrate it with such inputs"
            )
        if isinstance(x, Codes):
            x = x.values()
        if isinstance(x, Pending):
            return x.codes(self.scale, factor)
        if once:
            return Unrounded(x, self.scale, factor)
        return Codes(round_to_codes(x, self.scale, factor), self.scale)

    def get_extra_state(self) -> tuple[float, ...]:
        """Scale, zero and largest code."""
        return () if self.scale is None else tuple(self.scale)

    def set_extra_state(self, state: Any) -> None:
        """Takes the same."""
        self.scale = Scale(*state) if state else None

    def extra_repr(self) -> str:
        """What codes stand for."""
        if self.scale is None:
            return "never observed"
        scale, zero, most = self.scale
        return f"scale={scale:.4g}, zero={zero}, codes=0...{most}"


class INT8Linear(nn.Module):
    r"""A linear layer on uint8 codes, with int8 weights.

    Its weight (two codes to a byte if they have 4 bits), the scales of its output
    channels and its bias lie in one buffer.

    Args:
        linear (QATLinear): The layer as it was trained.
    """

    data: Tensor

    def __init__(self, linear: QATLinear) -> None:
        super().__init__()
        observer = linear.rounded_weight
        self.in_channels, self.out_channels = linear.in_channels, linear.out_channels
        self.bits = observer.config.bits
        self.input = None if linear.input is None else Rounder(linear.input)
        with torch.no_grad():
            steps, scale = observer.rounded(linear.weight.float())
            scale = scale.flatten().expand(self.out_channels)
            bias = None if linear.bias is None else linear.bias.float()
            self._store(steps.to(torch.int8), scale, bias)

    def _store(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        codes = (pack_weight(weight) if self.bits == 4 else weight).flatten()
        codes = F.pad(codes.view(torch.uint8), (0, -codes.numel() % 4))
        floats = [scale] if bias is None else [scale, bias]
        parts = [codes, *(part.contiguous().view(torch.uint8) for part in floats)]
        self.register_buffer("data", torch.cat(parts))
        self.has_bias = bias is not None
        self._ready: tuple[Tensor, Tensor, Tensor | None] | None = None

    def _read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Weight (int8 `[M, K]`), scales and bias (float32 `[M]`)."""
        rows, columns = self.out_channels, self.in_channels
        width = columns if self.bits == 8 else (columns + 1) // 2
        first = -(-rows * width // 4) * 4
        codes, floats = self.data[: rows * width], self.data[first:].view(torch.float32)
        weight = codes.view(torch.int8).view(rows, width)
        if self.bits == 4:
            weight = unpack_weight(codes.view(rows, width), columns)
        return weight, floats[:rows], floats[rows:] if self.has_bias else None

    def fold(self, gain: Tensor, shift: Tensor) -> None:
        """Takes in a norm behind it."""
        weight, scale, bias = self._read()
        bias = shift if bias is None else bias * gain + shift
        self._store(weight, scale * gain, bias)

    @property
    def bias(self) -> Tensor | None:
        """The bias."""
        return self._prepared()[2]

    def forward(self, x: Any) -> Any:
        """The product, plus the bias."""
        if isinstance(x, Tensor) and x.dim() != 2:
            out = self.forward(x.reshape(-1, self.in_channels)).float()
            return out.view(*x.shape[:-1], self.out_channels)
        rows = x if self.input is None else self.input.rounded(x, once=True)
        return self._pending(rows, self.bias)

    def product(self, rows: Codes) -> Pending:
        """That of codes, without the bias."""
        return self._pending(rows, None)

    def _pending(self, rows: Any, bias: Tensor | None) -> Pending:
        def make(after: Epilogue) -> Tensor:
            return self._computed(rows, after)

        shape = rows.size(0), self.out_channels
        return Pending(make, shape, rows.device, self, Epilogue(bias=bias))

    def _computed(self, rows: Any, after: Epilogue) -> Tensor:
        weight, scale, _ = self._prepared()
        rest = after.rest
        if after.gain is not None:
            scale = scale * after.gain
        if isinstance(rows, Unrounded):
            features = rows.x, rows.of, rows.factor, weight, scale, after.bias
            if after.next_scale is None and rest is None:
                return linear_rounded(*features, after.relu, after.to)
            return finished(linear_rounded(*features), after)
        known = rows.codes, rows.of, weight, scale, after.bias
        if after.next_scale is None and after.rest_gain is None:
            return linear_codes(*known, after.relu, rest, after.to)
        return finished(linear_codes(*known), after)

    def _prepared(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What products take: the weight as oneDNN wants it, scales and bias."""
        if torch.compiler.is_compiling():
            return self._read()
        if self._ready is None:
            weight, scale, bias = self._read()
            self._ready = packed(weight), scale, bias
        return self._ready

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = None

    def _apply(self, *args: Any, **kwargs: Any) -> "INT8Linear":
        self._ready = None
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}

    def extra_repr(self) -> str:
        """Its sizes."""
        sizes = f"{self.in_channels}, {self.out_channels}"
        return f"{sizes}, bias={self.has_bias}, bits={self.bits}"


def pack_weight(weight: Tensor) -> Tensor:
    """Codes from -8 to 7, `[M, K]`, two to a byte: `[M, K / 2]`."""
    codes = F.pad(weight + 8, (0, weight.size(1) % 2)).view(torch.uint8)
    return codes[:, ::2] | (codes[:, 1::2] << 4)


def unpack_weight(data: Tensor, columns: int) -> Tensor:
    """The codes again, int8."""
    pairs = torch.stack([data & 15, data >> 4], -1).flatten(1)
    return pairs[:, :columns].view(torch.int8) - 8


class Affine(nn.Module):
    """A norm whose statistics are known: times and plus one number for each feature."""

    gain: Tensor
    shift: Tensor

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain.clone())
        self.register_buffer("shift", shift.clone())

    def forward(self, x: Any) -> Any:
        """The features."""
        if isinstance(x, Pending):
            return x.affine(self.gain, self.shift)
        return x * self.gain + self.shift
