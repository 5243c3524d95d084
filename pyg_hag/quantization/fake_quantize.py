"""Quantization while a model trains: rounding to codes, and where their range ends."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyg_hag.ops._compute import per_row
from pyg_hag.quantization._rounded import Rounded
from pyg_hag.quantization._sampling import sample
from pyg_hag.quantization.config import DegreeQuantConfig

_LEAST_SCALE = torch.finfo(torch.float32).tiny * 2**10  # has a reciprocal


class FakeQuantize(nn.Module):
    r"""Rounds values to what their codes stand for.

    .. math::
        q(x) = \mathrm{clamp}(\lfloor x / s \rceil + z, q_{\min}, q_{\max}), \quad
        \hat{x} = s \, (q(x) - z)

    Activations have codes from 0 to :math:`2^b - 1` and one range, which contains 0.
    Weights have codes from :math:`-2^{b-1} + 1` to :math:`2^{b-1} - 1` and :math:`z =
    0`, with one range for each output channel or for all.

    While it trains, it observes: ranges follow the values of nodes that are not
    protected, and protected ones pass as they are (Tailor et al., *Degree-Quant*, ICLR
    2021, Section 3). Nothing waits for the device.

    Args:
        config (DegreeQuantConfig): How.
        num_channels (int, optional): For a weight, its output channels (dimension 0);
            None for activations.

    Shapes:
        - **input:** values of any shape, and, optionally, for each row whether it is
          protected, bool of shape `[num_rows]`
        - **output:** the same shape

    Raises:
        RuntimeError: If it has observed nothing when it does not train.
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
        # One range is a vector, too: code that torch 2.13 compiles loses what is copied
        # into a buffer of float64 without dimensions.
        ranges = num_channels if num_channels and config.per_channel else 1
        self.register_buffer("low", torch.zeros(ranges))
        self.register_buffer("high", torch.zeros(ranges))
        self.register_buffer("num_observed", torch.tensor(0))
        self._is_ready = False

    @property
    def code_range(self) -> tuple[int, int]:
        """The smallest and the largest code."""
        if self.is_weight:
            most = 2 ** (self.config.bits - 1) - 1
            return -most, most
        return 0, 2**self.config.bits - 1

    def parameters_of_codes(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point (float32, a whole number), one or one per channel."""
        least, most = self.code_range
        if self.is_weight:
            scale = _scale(torch.maximum(-self.low, self.high) / most)
            return scale, torch.zeros_like(scale)
        scale = _scale((self.high - self.low) / (most - least))
        return scale, (least - self.low / scale).round().clamp(least, most)

    def forward(
        self,
        x: Tensor,
        protected: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Observes x while it trains, and rounds it."""
        out = self.rounded(x, protected, counts=counts).values()
        if protected is not None and self.training:
            out = torch.where(_rows(protected, x), x, out)
        return out

    def rounded(
        self,
        x: Tensor,
        protected: Tensor | None = None,
        factor: Tensor | None = None,
        once: bool = False,
        counts: Tensor | None = None,
    ) -> Rounded:
        r"""Observes x while it trains, and gives it in steps of the scale.

        These are :math:`q(x) - z`, whole numbers: their sums are exact, in any order.

        Args:
            x (torch.Tensor): The values.
            protected (torch.Tensor, optional): Which rows are protected.
            factor (torch.Tensor, optional): By what each row is multiplied before.
            once (bool): Whether one product alone reads them, which makes no difference
                here.
            counts (torch.Tensor, optional): How often each row counts where percentiles
                are observed: as often as it is read, int64 of shape `[num_rows]`.

        Returns:
            Rounded: The steps, and the scale, which both make the rounded values.
        """
        if factor is not None:
            x = x * per_row(factor, x)
        if self.training:
            self._observe(x.detach(), protected, counts)
        elif not self._is_ready:
            raise RuntimeError(
                "this model was quantized, but has observed no values yet: train it, "
                "or calibrate it"
            )
        scale, zero = (self._along(t, x) for t in self.parameters_of_codes())
        clipped = self.config.gradient == "clipped"
        compiled = torch.compiler.is_compiling()
        round_ = _traced if compiled else _Round.apply
        out: Tensor = round_(x, scale, zero, *self.code_range, clipped)
        if protected is not None and self.training:
            out = torch.where(_rows(protected, x), x * scale.reciprocal(), out)
        return Rounded(out, scale)

    def _along(self, t: Tensor, x: Tensor) -> Tensor:
        return t.to(x.dtype).view(-1, *[1] * (x.dim() - 1))

    # Ranges ###################################################################

    @torch.no_grad()
    def _observe(
        self, x: Tensor, protected: Tensor | None, counts: Tensor | None
    ) -> None:
        low, high = self._limits(x.to(self.low.dtype), protected, counts)
        first = self.num_observed == 0
        if self.is_weight:  # which is here as a whole
            pass
        elif self.config.ranges == "ema":
            weight = torch.where(first, 1.0, self.config.momentum)
            low = self.low.lerp(low, weight)
            high = self.high.lerp(high, weight)
        else:
            low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.low.copy_(low)
        self.high.copy_(high)
        self.num_observed.add_(1)
        self._is_ready = True

    @property
    def weighs(self) -> bool:
        """Whether it asks how often each row counts."""
        return self.training and self._takes_percentiles

    @property
    def _takes_percentiles(self) -> bool:
        return not self.is_weight and self.config.cut_off > 0

    def _limits(
        self, x: Tensor, protected: Tensor | None, counts: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The ends of the range of these values, around 0."""
        if self.is_weight and self.config.per_channel:
            x = x.flatten(1)
            zero = x.new_zeros(x.size(0), 1)  # there may be no other
            x = torch.cat([x, zero], 1)
            return x.amin(1), x.amax(1)
        if self._takes_percentiles and x.numel() > 0:
            return self._percentiles(x, protected, counts)
        if protected is not None:
            x = x.masked_fill(_rows(protected, x), 0)
        x = torch.cat([x.flatten(), x.new_zeros(1)])
        return x.amin(), x.amax()

    def _percentiles(
        self, x: Tensor, protected: Tensor | None, counts: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        width = x.numel() // x.size(0)
        x = x.flatten()
        most = self.config.max_samples
        row = None
        if most is not None and x.numel() > most:
            seed = torch.full_like(self.num_observed, self.config.seed)
            step, num_rows = self.num_observed, x.numel() // width
            places, row = sample(seed, step, most, num_rows, width, counts)
            x, counts = x[places], None
        hidden = x == 0  # is in range: most features of a bag of words say nothing
        if protected is not None:
            hidden = hidden | _of_each(protected, row, width)
        x = x.masked_fill(hidden, torch.inf)  # behind all others
        if counts is not None:
            counts = _of_each(counts, row, width).masked_fill(hidden, 0)
        count = x.numel() - hidden.sum() if counts is None else counts.sum()
        last = (count - 1).clamp(min=0)
        first = (count * self.config.cut_off).long().clamp(max=last)
        ends = _smallest(x, torch.stack([first, last - first]), counts)
        ends = torch.where(count > 0, ends, 0.0)
        return ends[0].clamp(max=0), ends[1].clamp(min=0)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_ready = bool(self.num_observed > 0)

    def extra_repr(self) -> str:
        """What it rounds to."""
        kind = "weight" if self.is_weight else "activations"
        ranges = self.low.numel()
        channels = f", channels={ranges}" if ranges > 1 else ""
        return f"{kind}, bits={self.config.bits}{channels}"


def _of_each(rows: Tensor, row: Tensor | None, width: int) -> Tensor:
    """What rows say, for each value."""
    return rows.repeat_interleave(width) if row is None else rows[row]


def _smallest(x: Tensor, places: Tensor, counts: Tensor | None) -> Tensor:
    """What would be at these places, were the values sorted, each there so often."""
    if counts is not None:
        x, order = x.sort()
        ends = counts[order].cumsum(0)
        found = torch.searchsorted(ends, places, right=True)
        return x.gather(0, found.clamp(max=x.numel() - 1))
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        values: Any = x.numpy()  # whose selection is ten times faster
        return torch.stack(
            [x.new_tensor(np.partition(values, i)[i]) for i in places.tolist()]
        )
    return x.sort().values.gather(0, places)  # the host does not wait for places


def _scale(scale: Tensor) -> Tensor:
    """1 where there is nothing to scale."""
    return torch.where(scale < _LEAST_SCALE, 1.0, scale)


def _rows(protected: Tensor, x: Tensor) -> Tensor:
    return protected.view(-1, *[1] * (x.dim() - 1))


def _codes(x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Before they are clamped."""
    return (x * scale.reciprocal()).round_().add_(zero)


class _Round(torch.autograd.Function):
    """Steps of the scale, with a gradient."""

    @staticmethod
    def forward(
        x: Tensor, scale: Tensor, zero: Tensor, least: int, most: int, clipped: bool
    ) -> Tensor:
        return _codes(x, scale, zero).clamp_(least, most).sub_(zero)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, scale, zero, ctx.least, ctx.most, ctx.clipped = inputs
        ctx.save_for_backward(*((x, scale, zero) if ctx.clipped else (scale,)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if ctx.clipped:
            x, scale, zero = ctx.saved_tensors
        else:
            (scale,) = ctx.saved_tensors
        grad = grad * scale.reciprocal()
        if ctx.clipped:
            codes = _codes(x, scale, zero)
            passes = (codes > ctx.least).logical_and_(codes < ctx.most)
            grad = grad.masked_fill_(passes.logical_not_(), 0)
        return grad, None, None, None, None, None


def _traced(
    x: Tensor, scale: Tensor, zero: Tensor, least: int, most: int, clipped: bool
) -> Tensor:
    """The same in compiled code, which knows no other functions than its own."""
    codes = _codes(x.detach(), scale, zero)
    passed = (x - x.detach()) * scale.reciprocal()  # 0, with the gradient of x
    if clipped:
        passed = torch.where((codes > least) & (codes < most), passed, 0)
    return codes.clamp(least, most) - zero + passed
