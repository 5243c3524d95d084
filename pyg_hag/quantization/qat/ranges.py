"""The range of a tensor's values: minimum and maximum, or percentiles."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag.quantization.random.sampling import sample

Range = tuple[Tensor, Tensor]
"""The smallest and the largest value, 0 between them."""


class Sampling(NamedTuple):
    """How a large tensor is sampled.

    Attributes:
        seed: int64 of shape `[]`.
        step: int64 of shape `[]`; each step has samples of its own.
        max_samples: The number of samples; None for all values.
    """

    seed: Tensor
    step: Tensor
    max_samples: int | None


def channel_ranges(weight: Tensor) -> Range:
    """The range of each output channel of a weight `[M, ...]`, two tensors `[M]`."""
    weight = weight.flatten(1)
    zeros = weight.new_zeros(weight.size(0), 1)  # a channel may be empty
    weight = torch.cat([weight, zeros], 1)
    return weight.amin(1), weight.amax(1)


def minmax(x: Tensor, protected: Tensor | None) -> Range:
    """The minimum and maximum of the rows that are not protected."""
    if protected is not None:
        x = x.masked_fill(protected.view(-1, *[1] * (x.dim() - 1)), 0)
    x = torch.cat([x.flatten(), x.new_zeros(1)])
    return x.amin(), x.amax()


def percentiles(
    x: Tensor,
    cut_off: float,
    sampling: Sampling,
    protected: Tensor | None,
    counts: Tensor | None,
) -> Range:
    """The ends of the range without the outermost values.

    Zeros do not count: they are in range anyway, and most features of a bag of words
    are zeros.

    Args:
        x: The values, `[N, ...]`, not empty.
        cut_off: The share of values beyond either end.
        sampling: How to sample them.
        protected: Which rows to leave out, bool `[N]`.
        counts: How often each row counts, int64 `[N]`.
    """
    width = x.numel() // x.size(0)
    x = x.flatten()
    row = None
    seed, step, num_samples = sampling
    if num_samples is not None and x.numel() > num_samples:
        num_rows = x.numel() // width
        places, row = sample(seed, step, num_samples, num_rows, width, counts)
        x, counts = x[places], None  # rows were drawn as often as they count
    hidden = x == 0
    if protected is not None:
        hidden = hidden | _of_values(protected, row, width)
    x = x.masked_fill(hidden, torch.inf)  # sorted after all others
    if counts is not None:
        counts = _of_values(counts, row, width).masked_fill(hidden, 0)
    count = x.numel() - hidden.sum() if counts is None else counts.sum()
    last = (count - 1).clamp(min=0)
    first = (count * cut_off).long().clamp(max=last)
    ends = _order_statistics(x, torch.stack([first, last - first]), counts)
    ends = torch.where(count > 0, ends, 0.0)
    return ends[0].clamp(max=0), ends[1].clamp(min=0)


def _of_values(rows: Tensor, row: Tensor | None, width: int) -> Tensor:
    """An attribute of rows, for each value of a matrix or for values in these rows."""
    return rows.repeat_interleave(width) if row is None else rows[row]


def _order_statistics(x: Tensor, ranks: Tensor, counts: Tensor | None) -> Tensor:
    """The values at these ranks of the sorted values, each repeated `counts` times."""
    if counts is not None:
        x, order = x.sort()
        ends = counts[order].cumsum(0)
        found = torch.searchsorted(ends, ranks, right=True)
        return x.gather(0, found.clamp(max=x.numel() - 1))
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        values: Any = x.numpy()  # NumPy selects ten times faster than PyTorch sorts
        return torch.stack(
            [x.new_tensor(np.partition(values, i)[i]) for i in ranks.tolist()]
        )
    return x.sort().values.gather(0, ranks)  # without waiting for the device
