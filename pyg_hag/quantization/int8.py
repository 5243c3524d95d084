"""The modules of an INT8 model."""

from typing import Any

import torch
from torch import Tensor, nn

from pyg_hag.ops.codes import Epilogue, Scale, linear_codes, packed, round_to_codes
from pyg_hag.quantization._codes import Codes
from pyg_hag.quantization._pending import Pending
from pyg_hag.quantization.fake_quantize import FakeQuantize
from pyg_hag.quantization.linear import QATLinear


class Rounder(nn.Module):
    """Rounds features to codes, with the range that was observed.

    Args:
        observer (FakeQuantize): What has observed it.
    """

    def __init__(self, observer: FakeQuantize) -> None:
        super().__init__()
        self.scale: Scale | None = None
        if int(observer.num_observed) > 0:
            scale, zero = observer.parameters_of_codes()
            self.scale = Scale(float(scale), int(zero), observer.code_range[1])

    def rounded(
        self, x: Any, protected: None = None, factor: Tensor | None = None
    ) -> Codes:
        """The codes of features, times a factor for each row."""
        if self.scale is None:
            raise RuntimeError(
                "the INT8 model reads features of which none were observed before it "
                "was converted: train or calibrate it with such inputs"
            )
        if isinstance(x, Codes):
            x = x.values()
        if isinstance(x, Pending):
            return x.codes(self.scale, factor)
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
    r"""A linear layer on uint8 codes, with int8 weights, by oneDNN.

    Args:
        linear (QATLinear): The layer as it was trained.
    """

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: QATLinear) -> None:
        super().__init__()
        observer = linear.rounded_weight
        with torch.no_grad():
            steps, scale = observer.rounded(linear.weight.float())
        self.in_channels, self.out_channels = linear.in_channels, linear.out_channels
        self.register_buffer("weight", steps.to(torch.int8))
        scale = scale.flatten().expand(self.out_channels)
        self.register_buffer("weight_scale", scale.float().clone())
        bias = None if linear.bias is None else linear.bias.detach().float().clone()
        self.register_buffer("bias", bias)
        self.input = None if linear.input is None else Rounder(linear.input)
        self._ready: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Any) -> Pending:
        """The product, plus the bias."""
        rows = x if self.input is None else self.input.rounded(x)
        return self._pending(rows, self.bias)

    def product(self, rows: Codes) -> Pending:
        """That of codes, without the bias."""
        return self._pending(rows, None)

    def _pending(self, rows: Codes, bias: Tensor | None) -> Pending:
        def make(after: Epilogue) -> Tensor:
            return self._computed(rows, after)

        shape = rows.codes.size(0), self.out_channels
        return Pending(make, shape, self, Epilogue(bias=bias))

    def _computed(self, rows: Codes, after: Epilogue) -> Tensor:
        scale, rest = self.weight_scale, after.rest
        if after.gain is not None:
            scale = scale * after.gain
        weight, zero = self._prepared()
        known = rows.codes, rows.of, weight, scale, zero, after.bias
        if after.next_scale is None and after.rest_gain is None:
            return linear_codes(*known, after.relu, rest, after.to)
        out = linear_codes(*known)
        if rest is not None:
            values = (rest.codes.float() - rest.zero) * rest.scale
            gain = after.rest_gain
            out = out + (values if gain is None else values * gain)
        out = out.relu() if after.relu else out
        if after.to is None:
            return out
        return round_to_codes(out, after.to, after.next_scale)

    def _prepared(self) -> tuple[Tensor, Tensor]:
        """The weight as oneDNN wants it, and its zeros."""
        if torch.compiler.is_compiling():
            return packed(self.weight), self.weight.new_zeros(
                self.out_channels, dtype=torch.int64
            )
        if self._ready is None:
            zero = torch.zeros(self.out_channels, dtype=torch.int64)
            self._ready = packed(self.weight), zero
        return self._ready

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"{self.in_channels}, {self.out_channels}, bias={self.bias is not None}"


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
