"""Products of codes, by oneDNN."""

import functools
from typing import Any

import torch
from torch import Tensor

from pyg_hag import _memory
from pyg_hag.ops._codes import LARGEST, Rest, Scale


def compute_product(
    x: Tensor,
    zero: int,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    rest: Rest | None,
    to: Scale | None,
) -> Tensor:
    if not weight.is_mkldnn:
        weight = packed(weight)
    rows, columns = x.size(0), scale.numel()
    dtype = torch.float32 if to is None else torch.uint8
    to_scale, to_zero = (1.0, 0) if to is None else to[:2]
    after: tuple[Any, ...] = ("relu" if relu else "none", [], "")
    known = x, 1.0, zero, weight, scale, _zeros(columns)
    end = bias, to_scale, to_zero, dtype
    product = torch.ops.onednn.qlinear_pointwise.binary
    if rest is not None and to is None:
        added: Tensor = product(*known, rest.values(), *end, 1.0, 0, "add", 1.0, *after)
        return added
    if rest is not None:
        rest = rest._replace(codes=rest.codes.clone())
    elif to is not None and rows * columns >= _memory.LEAST:
        rest = Rest(_memory.empty(x, rows, columns), 0.0, 0)
    if rest is None:
        alone = torch.ops.onednn.qlinear_pointwise
        out: Tensor = alone(*known, *end, *after)
    else:  # oneDNN adds to what is there, or 0 times, to memory that need not be made
        other = rest.scale, rest.zero, "sum", 1.0
        out = product(*known, rest.codes, *end, *other, *after)
    if to is not None and to.most < LARGEST:  # where oneDNN goes on
        out.clamp_(max=to.most)
    return out


@functools.lru_cache(100)
def _zeros(columns: int) -> Tensor:
    """The zeros of the codes of a weight."""
    return torch.zeros(columns, dtype=torch.int64, device="cpu")


@functools.cache
def products_are_exact() -> bool:
    """Whether the processor adds products of codes without cutting them off.

    Those that multiply pairs into 16 bits do not (x86 before VNNI).
    """
    x, weight = (torch.full((1, 64), v, device="cpu") for v in (255, 127))
    one = torch.ones(1, dtype=torch.float32, device="cpu")
    codes = x.to(torch.uint8), 0, weight.to(torch.int8), one
    out = compute_product(*codes, None, False, None, None)
    return float(out) == float((x * weight).sum())


def packed(weight: Tensor) -> Tensor:
    """Codes of a weight, int8 `[M, K]`, as oneDNN wants them."""
    out: Tensor = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
    return out
