"""What quantization is asked to do."""

from dataclasses import dataclass

from pyg_hag._validation import (
    check_choice,
    check_count,
    check_fraction,
    check_probabilities,
)

RANGES = ("minmax", "ema", "percentile")
GRADIENTS = ("straight_through", "clipped")
BITS = (8, 4)
_PERCENTILE = {8: 0.1, 4: 1.0}


@dataclass(frozen=True)
class DegreeQuantConfig:
    """How a model is quantized, and which nodes are protected while it trains.

    The defaults are those of `Degree-Quant: Quantization-Aware Training for Graph
    Neural Networks <https://arxiv.org/abs/2008.05000>`_ (Section 4 and Appendix) for
    INT8.

    Attributes:
        bits (int): Of activations and weights, 8 or 4.
        p_min (float): Probability with which the nodes of the smallest in-degree are
            protected, in [0, 1].
        p_max (float): The same for the largest, at least `p_min`. If it is 0, nothing
            is protected: plain quantization-aware training.
        ranges (str): Where the ranges of activations come from: `"minmax"`, the
            smallest and largest value ever; `"ema"`, a moving average of those of each
            batch; `"percentile"`, the smallest and largest percentiles ever.
        percentile (float, optional): Percent of the values other than 0 that are cut
            off at either end, in [0, 50). If None, 0.1 for 8 bits and 1 for 4 bits.
            Messages count as often as they are read.
        momentum (float): Weight of a new batch in the moving average, in (0, 1].
        max_samples (int, optional): Percentiles of larger tensors are those of so many
            of their values, drawn at random; of all if None, which sorts them.
        per_channel (bool): Whether each output channel of a weight has a range of its
            own.
        gradient (str): That of rounding: `"straight_through"` is 1; `"clipped"` is 0
            where the code is at or beyond the end of its range.
        seed (int): Of the protection.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If a field has a value that makes no sense; the message names it.
    """

    bits: int = 8
    p_min: float = 0.0
    p_max: float = 0.1
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
        check_probabilities(self.p_min, self.p_max)
        check_choice("ranges", self.ranges, RANGES)
        check_choice("gradient", self.gradient, GRADIENTS)
        if self.percentile is not None:
            if self.ranges != "percentile":
                raise ValueError(
                    f"'percentile' is for ranges='percentile' alone (got "
                    f"{self.percentile} with ranges={self.ranges!r})"
                )
            check_fraction("percentile", self.percentile, 50.0)
            if self.percentile == 50:
                raise ValueError("'percentile' must be below 50 (got 50)")
        check_fraction("momentum", self.momentum)
        if self.momentum == 0:
            raise ValueError("'momentum' must be above 0 (got 0)")
        if self.max_samples is not None:
            check_count("max_samples", self.max_samples, 1)
        if not isinstance(self.per_channel, bool):
            raise TypeError(f"'per_channel' must be a bool (got {self.per_channel!r})")
        check_count("seed", self.seed, 0)

    @property
    def cut_off(self) -> float:
        """The share of values that is cut off at either end."""
        if self.ranges != "percentile":
            return 0.0
        percent = self.percentile
        return (_PERCENTILE[self.bits] if percent is None else percent) / 100
