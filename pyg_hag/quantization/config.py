"""DegreeQuantConfig: how a model is quantized."""

import functools
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pyg_hag.utils.checks import check_choice, check_count, check_fraction

RANGES = ("minmax", "ema", "percentile")
GRADIENTS = ("straight_through", "clipped")
BITS = (8, 4)
_PERCENTILE = {8: 0.1, 4: 1.0}
_OF_TRANSFORM = ("p_min", "p_max")
_T = TypeVar("_T")


def _rejects_options_of_transform(cls: type[_T]) -> type[_T]:
    """Rejects `p_min` and `p_max` with an error that names their transform."""
    construct: Any = cls.__init__

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in _OF_TRANSFORM:
            if name in kwargs:
                raise TypeError(
                    f"{name!r} is an argument of 'DegreeQuantTransform', not of "
                    f"'DegreeQuantConfig' (got {kwargs[name]!r}): pass it there, "
                    f"or use 'protect=False' to train without protection"
                )
        construct(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[method-assign]
    return cls


@_rejects_options_of_transform
@dataclass(frozen=True)
class DegreeQuantConfig:
    """How a model is quantized, and whether nodes are protected in training.

    The defaults are those of `Degree-Quant: Quantization-Aware Training for Graph
    Neural Networks <https://arxiv.org/abs/2008.05000>`_ (Section 4 and Appendix) for
    INT8. How likely each node is protected is set in :class:`DegreeQuantTransform`.

    Attributes:
        bits (int): Bits of activations and weights, 8 or 4.
        protect (bool): Whether training protects nodes, drawn with the probabilities
            in `data.protect_prob`. If False, it is plain quantization-aware training.
        ranges (str): How the ranges of activations are estimated: `"minmax"`, the
            smallest and largest value so far; `"ema"`, moving averages of the minimum
            and maximum of each batch; `"percentile"`, the smallest and largest
            percentiles so far.
        percentile (float, optional): Percent of the nonzero values that are clipped at
            either end, in [0, 50), for `ranges="percentile"`. If None, 0.1 for 8 bits
            and 1 for 4 bits. Messages count as often as they are read.
        momentum (float): Weight of a new batch in the moving averages, in (0, 1], for
            `ranges="ema"`.
        max_samples (int, optional): For `ranges="percentile"`, percentiles of larger
            tensors are estimated from this many random values. If None, all values are
            sorted.
        per_channel (bool): Whether each output channel of a weight has its own range.
        gradient (str): The gradient of rounding: `"straight_through"` is 1;
            `"clipped"` is 0 where the quantized value is at or beyond an end of its
            range.
        seed (int): Seed of the protection and of the samples.

    Raises:
        TypeError: If a field has the wrong type, or `p_min` or `p_max` is passed.
        ValueError: If a field has an invalid value, or one without effect for these
            `ranges`. The message names it.
    """

    bits: int = 8
    protect: bool = True
    ranges: str = "percentile"
    percentile: float | None = None
    momentum: float = 0.01
    max_samples: int | None = 100_000
    per_channel: bool = True
    gradient: str = "clipped"
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("bits", self.bits, 1)
        if self.bits not in BITS:
            raise ValueError(f"'bits' must be 8 or 4 (got {self.bits})")
        for name in ("protect", "per_channel"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"'{name}' must be a bool (got {value!r})")
        check_choice("ranges", self.ranges, RANGES)
        check_choice("gradient", self.gradient, GRADIENTS)
        check_count("seed", self.seed, 0)
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Checks the options of `ranges`, and that they apply to these ranges."""
        if self.percentile is not None:
            check_fraction("percentile", self.percentile, 50.0)
            if self.percentile == 50:
                raise ValueError("'percentile' must be below 50 (got 50)")
        check_fraction("momentum", self.momentum)
        if self.momentum == 0:
            raise ValueError("'momentum' must be above 0 (got 0)")
        if self.max_samples is not None:
            check_count("max_samples", self.max_samples, 1)
        applies = {"percentile": "percentile", "momentum": "ema"}
        applies["max_samples"] = "percentile"
        defaults = {field.name: field.default for field in fields(self)}
        for name, ranges in applies.items():
            value = getattr(self, name)
            if ranges != self.ranges and value != defaults[name]:
                raise ValueError(
                    f"'{name}' only applies to ranges={ranges!r} (got {value} with "
                    f"ranges={self.ranges!r}): leave it out, or change 'ranges'"
                )

    @property
    def cut_off(self) -> float:
        """The share of values that are clipped at either end."""
        if self.ranges != "percentile":
            return 0.0
        percent = self.percentile
        return (_PERCENTILE[self.bits] if percent is None else percent) / 100
