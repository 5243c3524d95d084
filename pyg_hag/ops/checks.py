"""What :func:`pyg_hag.aggregate` checks of its arguments."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.ops.paths import check_paths
from pyg_hag.ops.reductions import (
    COMPLEX,
    DTYPES,
    INTEGERS,
    REDUCES,
    SIGNED_REDUCES,
)

_KNOWN = frozenset((*DTYPES, *INTEGERS, *COMPLEX))


def check_aggregate(
    x: object,
    hag: object,
    reduce: Any,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
) -> str | tuple[str, ...]:
    """Checks the arguments and returns the reduction, or several, by its own name."""
    if not isinstance(hag, AbstractHAG):
        raise TypeError(
            f"'hag' must be a HAG (got {type(hag).__name__}); build it with "
            f"'build_hag(edge_index)'"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"'x' must be a torch.Tensor (got {type(x).__name__})")
    if x.layout != torch.strided:
        raise TypeError(
            f"'x' must be a dense tensor (got {x.layout}); convert it with "
            f"'x.to_dense()'"
        )
    if x.dtype not in _KNOWN:
        raise TypeError(
            f"'x' must hold floats of 16, 32 or 64 bits, signed integers, uint8, bool, "
            f"or complex numbers of 64 or 128 bits (got {x.dtype}); convert it with "
            f"'x.float()'"
        )
    if x.dim() == 0 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [num_src, *] with num_src={hag.num_src} (got "
            f"{list(x.shape)})"
        )
    if x.device != hag.device:
        raise ValueError(
            f"'x' is on {x.device}, but 'hag' is on {hag.device}: move one with '.to()'"
        )
    reduce = _check_reduce(reduce, hag)
    if x.dtype in COMPLEX:
        names = {reduce} if isinstance(reduce, str) else {*reduce}
        if not names <= {*SIGNED_REDUCES}:
            raise TypeError(
                f"'reduce' must be one of {SIGNED_REDUCES} for complex numbers, which "
                f"have no order (got {reduce!r}, and 'x' in {x.dtype})"
            )
    if src_scale is not None or dst_scale is not None or self_scale is not None:
        _check_scales(x, hag, reduce, src_scale, dst_scale, self_scale)
    return reduce


def _check_scales(
    x: Tensor,
    hag: AbstractHAG,
    reduce: object,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
) -> None:
    if self_scale is not None:
        if reduce not in SIGNED_REDUCES:
            raise ValueError(
                f"'self_scale' goes with 'reduce' in {SIGNED_REDUCES} (got {reduce!r}):"
                f" add the nodes themselves after 'aggregate'"
            )
        if hag.num_src != hag.num_dst:
            raise ValueError(
                f"'self_scale' needs as many sources as destinations (got "
                f"{hag.num_src} and {hag.num_dst})"
            )
    for name, scale, size in (
        ("src_scale", src_scale, hag.num_src),
        ("dst_scale", dst_scale, hag.num_dst),
        ("self_scale", self_scale, hag.num_dst),
    ):
        if scale is None:
            continue
        if not isinstance(scale, Tensor) or not scale.is_floating_point():
            kind = scale.dtype if isinstance(scale, Tensor) else type(scale).__name__
            raise TypeError(f"'{name}' must be a floating-point tensor (got {kind})")
        if scale.shape != (size,):
            raise ValueError(
                f"'{name}' must have shape [{size}] (got {list(scale.shape)})"
            )
        if scale.device != x.device:
            raise ValueError(f"'{name}' is on {scale.device}, but 'x' is on {x.device}")


def _check_reduce(reduce: Any, hag: AbstractHAG) -> str | tuple[str, ...]:
    is_plain = not hag.of_paths
    if is_plain and isinstance(reduce, str) and reduce in ("sum", "add", "mean"):
        return "sum" if reduce == "add" else reduce
    names = reduce if isinstance(reduce, (list, tuple)) else [reduce]
    names = tuple("sum" if name == "add" else name for name in names)
    if not names or any(name not in REDUCES for name in names):
        raise ValueError(
            f"'reduce' must be one of {REDUCES}, or a list of them (got {reduce!r})"
        )
    if "symnorm" in names and hag.num_src != hag.num_dst:
        raise ValueError(
            f"'reduce' is 'symnorm', which needs as many sources as destinations (got "
            f"{hag.num_src} and {hag.num_dst})"
        )
    if hag.is_signed and reduce not in SIGNED_REDUCES:
        raise ValueError(
            f"'reduce' must be one of {SIGNED_REDUCES} over a HAG that subtracts (got "
            f"{reduce!r}): build it without 'subtract'"
        )
    if hag.of_paths:
        check_paths(names, hag)
    return names if isinstance(reduce, (list, tuple)) else names[0]
