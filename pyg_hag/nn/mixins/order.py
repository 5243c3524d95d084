r"""The cheaper order of a sum over neighbours and a linear layer.

.. math::
    \mathbf{A} (\mathbf{X} \mathbf{W}) = (\mathbf{A} \mathbf{X}) \mathbf{W}

for every linear aggregation, up to rounding. The order decides how wide the features
are that are summed, and what the backward pass sums: without a gradient of
:math:`\mathbf{X}`, the one on the right needs no sum at all.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.nn.mixins.aggregation import reduction_of

_MOVE = 4e-12
"""Seconds for each number that a sum reads or writes, on two cores of a server."""
_MULTIPLY = 1e-11
"""Seconds for each product of two numbers in a linear layer, on the same."""
_MIN_GAIN = 0.9
"""Of the time in PyG's order: the other one must be predicted to take less."""


def takes_other_order(
    conv: Any, linear: Any, x: Any, hag: Any, sums_first: bool, num_sums: int = 1
) -> bool:
    """Whether a layer takes the order that PyG's does not.

    Only where nobody could tell but by rounding and time: the linear layer is PyG's own
    without hooks, the aggregation is a sum or a mean, and features are of its dtype.

    Args:
        conv: The layer.
        linear: Its linear layer.
        x: Features of the sources.
        hag: Its graph.
        sums_first: Whether PyG's layer sums first.
        num_sums: How many sums follow on each other.
    """
    if not isinstance(hag, AbstractHAG) or not _may_choose(conv, linear, x):
        return False
    width = linear.weight.size(1)
    if x.size(-1) != width:  # an error, which PyG's code raises
        return False
    prices = _prices(hag, num_sums)
    if prices is None:
        return False
    before, after = (
        _seconds(linear.weight, x, *prices, hag, order)
        for order in (sums_first, not sums_first)
    )
    return after < _MIN_GAIN * before


def _may_choose(conv: Any, linear: Any, x: Any) -> bool:
    """Whether both orders give the same but for rounding."""
    return (
        type(linear) in (pyg.Linear, torch.nn.Linear)
        and type(linear.weight) is torch.nn.Parameter  # not one that is initialised yet
        and not _has_hooks(linear)
        and isinstance(x, Tensor)
        and x.device.type in ("cpu", "cuda")
        and x.layout == torch.strided
        and x.dtype == linear.weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled(x.device.type)
        and reduction_of(conv.aggr_module) in ("sum", "mean")
        and conv.node_dim in (-2, x.dim() - 2)
        and not conv._explain
    )


def _has_hooks(module: torch.nn.Module) -> bool:
    return any(
        getattr(module, f"_{name}_hooks")
        for name in ("forward", "forward_pre", "backward", "backward_pre")
    )


def _prices(hag: AbstractHAG, num_sums: int) -> tuple[float, float] | None:
    """Seconds of the sums for each feature, and of each product; None if not known.

    Between as many sources as destinations, products take the same in both orders, and
    only the widths of the sums count.
    """
    if hag.num_src == hag.num_dst:
        return float(num_sums), 0.0
    if not isinstance(hag, HAG):
        return None
    return num_sums * _MOVE * (hag.stats.reads + hag.num_src + hag.num_dst), _MULTIPLY


def _seconds(
    weight: Tensor,
    x: Tensor,
    of_sums: float,
    of_product: float,
    hag: AbstractHAG,
    sums_first: bool,
) -> float:
    """Predicted seconds of an order, forward and backward."""
    out_width, in_width = weight.shape
    trains = torch.is_grad_enabled()
    x_learns, weight_learns = (trains and t.requires_grad for t in (x, weight))
    width = in_width if sums_first else out_width
    num_rows = hag.num_dst if sums_first else hag.num_src
    passes = 1 + (x_learns if sums_first else x_learns or weight_learns)
    products = num_rows * in_width * out_width * (1 + x_learns + weight_learns)
    return of_sums * width * passes + of_product * products


def product(linear: Any, x: Tensor) -> Tensor:
    """The features times the weights of a linear layer, without its bias."""
    return F.linear(x, linear.weight)


def add_bias(out: Tensor, linear: Any) -> Tensor:
    """The result with the bias of a linear layer."""
    return out if linear.bias is None else out + linear.bias


def first_linear(network: torch.nn.Module) -> torch.nn.Module | None:
    """The first of the modules that follow each other in a network; None if unknown."""
    if type(network) is not torch.nn.Sequential or _has_hooks(network):
        return None
    return next(iter(network), None)
