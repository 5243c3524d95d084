"""Runs the kernel of attention over quantized features on tensors."""

import functools

import torch
from torch import Tensor

from pyg_hag.ops.attention.rounding import QuantizedAttention
from pyg_hag.ops.cpu.attention.calls import MAX_CACHED_BYTES
from pyg_hag.ops.cpu.attention.lookup import HAS_LOOKUP, table_of
from pyg_hag.ops.cpu.attention.quantized import QuantizedForward
from pyg_hag.ops.cpu.attention.running import bits_of, run_rows
from pyg_hag.ops.qparams import Epilogue, QParams
from pyg_hag.plan.attention import EdgeRows
from pyg_hag.runtime import memory

_MAX_SCORE = 40.0
"""Exponentials of scores up to this size, and sums of them, are normal numbers."""
_program = functools.cache(QuantizedForward)


def attend(
    how: QuantizedAttention,
    rows: EdgeRows,
    codes: Tensor,
    source_scores: Tensor,
    target_scores: Tensor,
    edge_term: Tensor | None,
    epilogue: Epilogue,
) -> Tensor:
    """See :func:`pyg_hag.ops.attention.quantized.attention_quantized`.

    The epilogue has no residual and no factors of rows; means are over one group.
    """
    layout, out_qparams = how.layout, epilogue.out_qparams
    bounded = _is_bounded(how)
    program = _program(
        "gat",
        layout.dtype,
        layout.width,
        layout.groups,
        layout.vectors,
        edge_term is not None,
        False,
        codes.numel() > MAX_CACHED_BYTES,
        num_heads=how.num_heads,
        num_channels=how.num_channels,
        mean=how.mean,
        quantizes=out_qparams is not None,
        bounded=bounded,
        looked_up=bounded and HAS_LOOKUP,
    )
    columns = program.result_heads * how.num_channels
    like = codes if out_qparams is not None else source_scores
    out = memory.empty(like, rows.num_rows, columns)
    channel_scale, bias = _per_channel(how, epilogue, columns)
    tensors = {
        "key": source_scores,
        "value": codes,
        "query": target_scores,
        "out": out,
        "channel_scale": channel_scale,
        "bias": bias,
        "table": table_of(how.score.scale, how.slope),
    }
    if edge_term is not None:
        tensors["edge_term"] = edge_term = layout.scores(edge_term)
        assert edge_term.size(0) == rows.num_edges
    _check(how, rows, tensors)
    known = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    known["query"] += 4 * layout.heads
    run_rows(program, layout, rows, {**known, **_numbers(how, epilogue)})
    return out if columns == how.columns else out[:, : how.columns].contiguous()


def _check(how: QuantizedAttention, rows: EdgeRows, tensors: dict[str, Tensor]) -> None:
    """Kernels know nothing of tensors but their addresses."""
    heads = 2 * how.layout.heads
    assert tensors["query"].shape == (rows.num_rows, heads)
    assert tensors["key"].shape == (tensors["value"].size(0), heads)
    for name, tensor in tensors.items():
        bytes_ = name == "value" or tensor is tensors["out"]
        assert tensor.dtype == torch.float32 or bytes_
        assert tensor.is_contiguous() and tensor.is_cpu


def _per_channel(
    how: QuantizedAttention, epilogue: Epilogue, columns: int
) -> tuple[Tensor, Tensor]:
    """Scales and bias of the results, as wide as the rows that are written."""
    one = how.total.scale / (how.num_heads if how.mean else 1)
    scale, bias = epilogue.channel_scale, epilogue.bias
    scale = _full(columns, one) if scale is None else scale * one
    bias = _full(columns, 0.0) if bias is None else bias
    missing = columns - how.columns
    if missing:
        scale, bias = (
            torch.nn.functional.pad(t[: how.columns], (0, missing))
            for t in (scale, bias)
        )
    return scale, bias


@functools.lru_cache(1000)
def _full(columns: int, value: float) -> Tensor:
    return torch.full((columns,), value, dtype=torch.float32, device="cpu")


def _is_bounded(how: QuantizedAttention) -> bool:
    """Whether scores are so small that none need be subtracted from them."""
    scale, zero_point, qmax = how.score
    low, high = -zero_point * scale, (qmax - zero_point) * scale
    return max(abs(low), abs(how.slope * low), high) <= _MAX_SCORE


def _numbers(how: QuantizedAttention, epilogue: Epilogue) -> dict[str, int]:
    out_qparams = epilogue.out_qparams or QParams(1.0, 0)
    return _bits(how, epilogue.relu, out_qparams)


@functools.lru_cache(1000)
def _bits(how: QuantizedAttention, relu: bool, out: QParams) -> dict[str, int]:
    numbers = {
        "slope": how.slope,
        "score_inverse": how.score.inverse_scale,
        "score_zero": how.score.zero_point,
        "score_max": how.score.qmax,
        "score_scale": how.score.scale,
        "score_low": -how.score.zero_point,
        "score_high": how.score.qmax - how.score.zero_point,
        "zero_point": how.value.zero_point,
        "ratio": how.value.scale * how.total.inverse_scale,
        "sum_zero": how.total.zero_point,
        "sum_max": how.total.qmax,
        "lowest": 0.0 if relu else -torch.inf,
        "out_inverse": out.inverse_scale,
        "out_zero": out.zero_point,
        "out_max": out.qmax,
    }
    return {name: bits_of(number) for name, number in numbers.items()}
