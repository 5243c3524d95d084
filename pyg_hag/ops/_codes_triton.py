"""Sums, products and rounding of codes on CUDA: launches of the Triton kernels."""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag._device_plan import device_plan
from pyg_hag.hag import HAG
from pyg_hag.ops._codes import Epilogue, Rest, Scale
from pyg_hag.ops._codes_native import accumulator, counts_of_codes
from pyg_hag.ops._triton import arrays_of, launch, start

_ROWS, _COLUMNS, _DEPTH = 64, 64, 64  # of a tile of products
_TYPES = {32: torch.int32, 64: torch.int64}


@functools.cache
def _kernels() -> ModuleType:
    from pyg_hag.ops import _triton_code_kernels

    return _triton_code_kernels


def compute_reduction(
    x: Tensor, of: Scale, hag: HAG, reduce: str, own: Tensor | None, after: Epilogue
) -> Tensor:
    plan, x, columns = device_plan(hag), x.contiguous(), x.size(1)
    counts, dtype = None, torch.uint8
    if reduce == "sum":
        counts, most = counts_of_codes(hag, own)
        dtype = _TYPES[max(32, accumulator(most, of.most))]
    rounds = after.to is not None
    scratch = x.new_empty(plan.num_slots, columns, dtype=dtype)
    out = _result(x, hag.num_dst, columns, rounds)
    lowest = 0.0 if after.relu else float("-inf")
    rest, rest_scale, rest_zero = _rest(after.rest)
    features = after.dst_scale, after.gain, after.bias, rest, after.rest_gain
    arrays = x, out, scratch, own, counts, *features, after.next_scale
    numbers = of.scale, of.zero, lowest, rest_scale, rest_zero, *_end(after.to)
    launch(
        _kernels().reduce_codes,
        plan,
        x,
        (*arrays, *arrays_of(plan)),
        numbers,
        REDUCE=reduce,
        ROUNDS=rounds,
        SEGMENTS=plan.segments,
    )
    return out


def compute_codes(
    x: Tensor,
    to: Scale,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    x = x.detach().float().contiguous()
    rows, columns = x.shape
    out = torch.empty_like(x, dtype=torch.uint8)
    if out.numel() > 0:
        start(
            _kernels().round_codes, (-(-rows // 16), -(-columns // 128)), x,
            x, out, gain, bias, factor, rows, columns, *_end(to), ROWS=16, TILE=128,
        )  # fmt: skip
    return out


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
    rows, columns = x.size(0), weight.size(0)
    out = _result(x, rows, columns, to is not None)
    if out.numel() == 0:
        return out
    codes, rest_scale, rest_zero = _rest(rest)
    arrays = x.contiguous(), weight, scale.contiguous(), bias, codes, out
    sizes = rows, x.size(1), columns
    start(
        _kernels().multiply_codes, (-(-rows // _ROWS), -(-columns // _COLUMNS)), x,
        *arrays, *sizes, zero, rest_scale, rest_zero, *_end(to),
        RELU=relu, ROUNDS=to is not None, ROWS=_ROWS, COLUMNS=_COLUMNS, DEPTH=_DEPTH,
    )  # fmt: skip
    return out


def packed(weight: Tensor) -> Tensor:
    """Codes of a weight as products take them: as they are."""
    return weight.contiguous()


def _result(like: Tensor, rows: int, columns: int, rounds: bool) -> Tensor:
    dtype = torch.uint8 if rounds else torch.float32
    return torch.empty(rows, columns, dtype=dtype, device=like.device)


def _rest(rest: Rest | None) -> tuple[Any, float, int]:
    if rest is None:
        return None, 0.0, 0
    return rest.codes.contiguous(), rest.scale, rest.zero


def _end(to: Scale | None) -> tuple[float, int, float]:
    """One over the scale of results, in float32; the code of zero, and the largest."""
    if to is None:
        return 1.0, 0, 0.0
    return to.inverse, to.zero, float(to.most)
