"""FakeQuantize: quantization while a model trains, with the ranges it observes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from pyg_hag.hag.memo import Latest
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.features import FakeQTensor
from pyg_hag.quantization.qat.ranges import (
    Range,
    Sampling,
    channel_ranges,
    minmax,
    percentiles,
)
from pyg_hag.quantization.qat.rounding import quantize_steps
from pyg_hag.utils.tensors import per_row

_MIN_SCALE = torch.finfo(torch.float32).tiny * 2**10  # has a reciprocal


class FakeQuantize(nn.Module):
    r"""Quantizes and dequantizes values.

    .. math::
        q(x) = \mathrm{clamp}(\lfloor x / s \rceil + z, q_{\min}, q_{\max}), \quad
        \hat{x} = s \, (q(x) - z)

    Activations are quantized to 0 to :math:`2^b - 1`, with one range, which contains 0.
    Weights are quantized to :math:`-2^{b-1} + 1` to :math:`2^{b-1} - 1` with
    :math:`z = 0`, and with one range for each output channel or for all.

    In training, it observes: ranges follow the values of nodes that are not protected,
    and protected nodes pass unchanged (Tailor et al., *Degree-Quant*, ICLR 2021,
    Section 3). Nothing waits for the device, so that values that are not finite raise
    an error on the CPU only; elsewhere they leave the range as it is.

    All of its state is in its buffers: whoever copies these copies it.

    Args:
        config (DegreeQuantConfig): How to quantize.
        num_channels (int, optional): The number of output channels (dimension 0) of a
            weight; None for activations.

    Shapes:
        - **input:** values of any shape and, optionally, whether each row is protected,
          bool of shape `[num_rows]`
        - **output:** the shape of the values

    Raises:
        RuntimeError: If it is evaluated before it has observed any values.
        TypeError: If the values are not floating point.
        ValueError: If it observes values that are infinite or NaN.

    Attributes:
        layer (str): The name of the layer that it belongs to, for errors.
    """

    low: Tensor
    high: Tensor
    num_observed: Tensor

    def __init__(
        self, config: DegreeQuantConfig, num_channels: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.is_weight = num_channels is not None
        # A single range is a vector, too: code compiled by torch 2.13 loses what is
        # copied into a float64 buffer without dimensions.
        ranges = num_channels if num_channels and config.per_channel else 1
        self.register_buffer("low", torch.zeros(ranges))
        self.register_buffer("high", torch.zeros(ranges))
        self.register_buffer("num_observed", torch.tensor(0))
        self.layer = ""
        self._is_ready = Latest()

    @property
    def quant_range(self) -> tuple[int, int]:
        """The smallest and the largest quantized value."""
        if self.is_weight:
            qmax = 2 ** (self.config.bits - 1) - 1
            return -qmax, qmax
        return 0, 2**self.config.bits - 1

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point (a whole number), float32 `[num_channels]` or `[1]`."""
        qmin, qmax = self.quant_range
        if self.is_weight:
            scale = _usable(torch.maximum(-self.low, self.high) / qmax)
            return scale, torch.zeros_like(scale)
        scale = _usable((self.high - self.low) / (qmax - qmin))
        return scale, (qmin - self.low / scale).round().clamp(qmin, qmax)

    def forward(
        self,
        x: Tensor,
        protected: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Observes values in training, and returns them fake-quantized."""
        out = self.quantize(x, protected, counts=counts).dequantize()
        if protected is not None and self.training:
            out = torch.where(_mask_rows(protected, x), x, out)
        return out

    def quantize(
        self,
        x: Tensor,
        protected: Tensor | None = None,
        row_scale: Tensor | None = None,
        single_use: bool = False,
        counts: Tensor | None = None,
    ) -> FakeQTensor:
        r"""Observes values in training, and returns them in steps of the scale.

        The steps :math:`q(x) - z` are integers, whose sums are exact in any order.

        Args:
            x (torch.Tensor): The values.
            protected (torch.Tensor, optional): Which rows are protected.
            row_scale (torch.Tensor, optional): Factors of the rows, applied before.
            single_use (bool): Whether a single linear layer reads the result; only
                matters in INT8.
            counts (torch.Tensor, optional): How often each row counts in percentiles,
                as often as it is read, int64 of shape `[num_rows]`.

        Returns:
            FakeQTensor: The steps, and their scale.
        """
        if not x.is_floating_point():
            raise TypeError(
                f"{self._place} reads features of {x.dtype}, which cannot be "
                f"quantized: convert them by 'x.float()'"
            )
        if row_scale is not None:
            x = x * per_row(row_scale, x)
        if self.training:
            self._observe(x.detach(), protected, counts)
        else:
            self._check_ready()
        scale, zero_point = (per_row(t, x) for t in self.calculate_qparams())
        clipped = self.config.gradient == "clipped"
        steps = quantize_steps(x, scale, zero_point, *self.quant_range, clipped)
        if protected is not None and self.training:
            exact = x * scale.reciprocal()
            steps = torch.where(_mask_rows(protected, x), exact, steps)
        return FakeQTensor(steps, scale)

    def dtype_of(self, x: Tensor) -> torch.dtype:
        """The dtype in which it quantizes values."""
        return x.dtype if x.is_floating_point() else torch.float32

    # Ranges ###################################################################

    @property
    def needs_counts(self) -> bool:
        """Whether :meth:`quantize` makes use of `counts`."""
        return self.training and self._uses_percentiles

    @property
    def _uses_percentiles(self) -> bool:
        return not self.is_weight and self.config.cut_off > 0

    @torch.no_grad()
    def _observe(
        self, x: Tensor, protected: Tensor | None, counts: Tensor | None
    ) -> None:
        finite = None if self.is_weight else self._is_finite(x)
        low, high = self._range_of(x.to(self.low.dtype), protected, counts)
        if self.is_weight:  # its range is that of its current values
            pass
        elif self.config.ranges == "ema":
            first = self.num_observed == 0
            momentum = torch.where(first, 1.0, self.config.momentum)
            low = self.low.lerp(low, momentum)
            high = self.high.lerp(high, momentum)
        else:
            low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        if finite is not None:
            low = torch.where(finite, low, self.low)
            high = torch.where(finite, high, self.high)
        self.low.copy_(low)
        self.high.copy_(high)
        self.num_observed.add_(1 if finite is None else finite)

    def _is_finite(self, x: Tensor) -> Tensor | None:
        """Whether all values are finite; None on the CPU, where that is checked."""
        if x.numel() == 0:
            return None
        ends = torch.stack(torch.aminmax(x))
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return ends.isfinite().all()
        if not all(map(math.isfinite, ends.tolist())):
            raise ValueError(
                f"{self._place} reads features with infinite values or NaN, which have "
                f"no range: remove them from 'x' (its ranges are as before)"
            )
        return None

    def _check_ready(self) -> None:
        count = self.num_observed
        error = (
            f"{self._place} has not observed any values yet: train the quantized "
            f"model, or use 'calibrate'"
        )
        if torch.compiler.is_compiling():
            torch._assert_async(count > 0, error)
        elif not self._is_ready.of(count, lambda: bool(count > 0)):
            raise RuntimeError(error)

    @property
    def _place(self) -> str:
        return f"the quantized layer {self.layer!r}" if self.layer else "this layer"

    def reset_parameters(self) -> None:
        """Forgets all observed values."""
        for buffer in (self.low, self.high, self.num_observed):
            buffer.zero_()

    def _range_of(
        self, x: Tensor, protected: Tensor | None, counts: Tensor | None
    ) -> Range:
        if self.is_weight and self.config.per_channel:
            return channel_ranges(x)
        if self._uses_percentiles and x.numel() > 0:
            seed = torch.full_like(self.num_observed, self.config.seed)
            sampling = Sampling(seed, self.num_observed, self.config.max_samples)
            return percentiles(x, self.config.cut_off, sampling, protected, counts)
        return minmax(x, protected)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_is_ready": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"layer": "", **state})
        self._is_ready = Latest()

    def extra_repr(self) -> str:
        """What it quantizes, and to how many bits."""
        kind = "weight" if self.is_weight else "activations"
        ranges = self.low.numel()
        channels = f", channels={ranges}" if ranges > 1 else ""
        return f"{kind}, bits={self.config.bits}{channels}"


def _usable(scale: Tensor) -> Tensor:
    """The scale, or 1 where it is so small that all values are zero."""
    return torch.where(scale < _MIN_SCALE, 1.0, scale)


def _mask_rows(protected: Tensor, x: Tensor) -> Tensor:
    return protected.view(-1, *[1] * (x.dim() - 1))
