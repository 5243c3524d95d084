"""Native programs for quantized features: reductions, quantization and packing."""

import functools

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import Latest, once_per_hag
from pyg_hag.ops.cpu.backend import is_streamed, make_call, needs_prefetching
from pyg_hag.ops.cpu.formats import VECTOR_BYTES
from pyg_hag.ops.cpu.integer_reduction import IntegerReduction
from pyg_hag.ops.cpu.program import Call, run
from pyg_hag.ops.cpu.quantize import NibblePacking, Quantization
from pyg_hag.ops.cpu.tiling import Variant, tile_features, variants
from pyg_hag.ops.qparams import QMAX, Epilogue, QParams
from pyg_hag.plan.cpu import forward_plan, rows_plan
from pyg_hag.runtime import openmp, thread_pool

_integer_reduction = functools.cache(IntegerReduction)
_quantization = functools.cache(Quantization)
_nibble_packing = functools.cache(NibblePacking)
_LIMITS = {16: 2**16, 32: 2**31, 64: 2**63}
"""Where the values of accumulators of so many bits end."""


def compute_aggregate(
    x: Tensor,
    qparams: QParams,
    hag: HAG,
    reduce: str,
    self_scale: Tensor | None,
    epilogue: Epilogue,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.aggregate_quantized`.

    Args:
        x: uint8 `[num_src, F]`.
        qparams: The parameters of x.
        hag: The graph.
        reduce: `"sum"`, `"max"` or `"min"`.
        self_scale: How often each node's own features are added, int32 `[num_dst]`.
        epilogue: What follows the reduction.

    Returns:
        Shape `[num_dst, F]`; uint8 if the epilogue quantizes, else float32.
    """
    x = x if x.is_contiguous() else x.contiguous()
    is_sum = reduce == "sum"
    counts, max_count = quantized_counts(hag, self_scale) if is_sum else (None, 0)
    bits = accumulator(max_count, qparams.qmax) if is_sum else 8
    columns, threads = x.size(1), thread_pool.num_threads()
    packed = qparams.qmax < 16 and columns % 2 == 0
    if packed:
        x = _pack_nibbles(x)
    quantizes, checked = epilogue.out_qparams is not None, openmp.checks_bounds()
    key = reduce, bits, quantizes, columns, threads, checked, packed
    call = _reduce_call(hag, *key)
    parameters = _parameters(qparams, epilogue)
    residual = epilogue.residual
    arrays = (
        counts,
        epilogue.channel_scale,
        epilogue.bias,
        None if residual is None else residual.values.contiguous(),
        epilogue.residual_channel_scale,
        epilogue.next_scale,
        parameters,
    )
    return run(call, x, None, epilogue.dst_scale, self_scale, *[None] * 3, *arrays)


def _parameters(qparams: QParams, epilogue: Epilogue) -> Tensor:
    residual = epilogue.residual[1:] if epilogue.residual else (0.0, 0)
    out_qparams = epilogue.out_qparams or QParams(1.0, 0)
    return cached_parameters(qparams, epilogue.relu, residual, out_qparams)


@functools.lru_cache(1000)
def cached_parameters(
    qparams: QParams, relu: bool, residual: tuple[float, int], out_qparams: QParams
) -> Tensor:
    """The parameters of a call, see :data:`pyg_hag.ops.cpu.quantize.PARAMETERS`.

    Args:
        qparams: The parameters of the inputs.
        relu: Whether negative results become 0.
        residual: Scale and zero point of the residual.
        out_qparams: The parameters of the results.

    Returns:
        float32 `[8]`.
    """
    parameters = (
        qparams.scale,
        qparams.zero_point,
        0.0 if relu else -torch.inf,
        *residual,
        out_qparams.inverse_scale,
        out_qparams.zero_point,
        out_qparams.qmax,
    )
    return torch.tensor(parameters, dtype=torch.float32, device="cpu")


@once_per_hag
def _reduce_call(
    hag: HAG,
    reduce: str,
    bits: int,
    quantizes: bool,
    columns: int,
    threads: int,
    checked: bool,
    packed: bool,
) -> Call:
    plan = forward_plan(hag, columns, threads, bits // 8)
    result_bytes = columns * (1 if quantizes else 4)
    columns = columns // 2 if packed else columns
    streamed = columns % VECTOR_BYTES == 0 and is_streamed(result_bytes, hag.num_dst)
    program = _integer_reduction(
        reduce,
        bits,
        quantizes,
        plan.mid.size > 0,
        plan.num_slots > 0,
        needs_prefetching(hag, plan, min(columns, 8 * VECTOR_BYTES)),
        streamed,
        checked,
        packed,
    )
    cuts = plan.row_tasks(columns, threads, bits // 8)
    lanes, sizes = program.format.lanes, (hag.num_src, hag.num_dst, columns)
    return make_call(program, plan, cuts, lanes, columns, sizes, threads)


def quantized_counts(hag: HAG, self_scale: Tensor | None) -> tuple[Tensor, int]:
    """The number of values in the sum of each destination.

    Args:
        hag: The graph.
        self_scale: How often each node's own features are added, int32 `[num_dst]`.

    Returns:
        The counts, less those that are subtracted, int32 `[num_dst]`; and the largest
        number of values in a sum. Where a node's own features are subtracted, that is
        more than 16 unsigned bits hold.
    """
    if self_scale is None:
        return _counts(hag)
    scale = self_scale
    return _latest_counts(hag).of(scale, lambda: _with_max(hag.in_degree.int(), scale))


@once_per_hag
def _counts(hag: HAG) -> tuple[Tensor, int]:
    return _with_max(hag.in_degree.int(), None)


@once_per_hag
def _latest_counts(hag: HAG) -> Latest:
    return Latest()


def _with_max(degree: Tensor, self_scale: Tensor | None) -> tuple[Tensor, int]:
    if degree.numel() == 0:
        return degree, 0
    if self_scale is None:
        return degree, int(degree.max())
    max_count = int((degree.long() + self_scale.abs()).max())
    if int(self_scale.min()) < 0:
        max_count = max(max_count, _LIMITS[16])
    return degree + self_scale, max_count


def accumulator(max_count: int, qmax: int = QMAX) -> int:
    """Bits of the integers that hold a sum of `max_count` values up to `qmax`."""
    return next(bits for bits, limit in _LIMITS.items() if max_count * qmax < limit)


def _pack_nibbles(x: Tensor) -> Tensor:
    """Values below 16, uint8 `[N, F]`, packed two to a byte, `[N, F / 2]`."""
    rows, columns = x.size(0), x.size(1) // 2
    if rows * columns == 0:
        return x.new_empty(rows, columns)
    threads, checked = thread_pool.num_threads(), openmp.checks_bounds()
    return run(_packing_call(rows, columns, threads, checked), x)


@functools.lru_cache(100)
def _packing_call(rows: int, columns: int, threads: int, checked: bool) -> Call:
    plan = rows_plan(rows)
    program = _nibble_packing(is_streamed(columns, rows), checked)
    cuts = plan.row_tasks(columns, threads)
    lanes, sizes = program.format.lanes, (rows, rows, columns)
    return make_call(program, plan, cuts, lanes, columns, sizes, threads)


def compute_quantized(
    x: Tensor,
    qparams: QParams,
    row_scale: Tensor | None,
    channel_scale: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.quantize`.

    Args:
        x: Contiguous float32 `[N, F]`.
        qparams: The parameters of the result.
        row_scale: Factors of the rows, float32 `[N]`, after the bias.
        channel_scale: Factors of the features, float32 `[F]`.
        bias: What is added to the features, float32 `[F]`.

    Returns:
        uint8 `[N, F]`.
    """
    rows, columns = x.shape
    parameters = _parameters(QParams(1.0, 0), Epilogue(out_qparams=qparams))
    if rows * columns == 0:
        return x.new_empty(rows, columns, dtype=torch.uint8)
    threads, checked = thread_pool.num_threads(), openmp.checks_bounds()
    call = _quantize_call(rows, columns, threads, checked)
    arrays = None, channel_scale, bias, None, None, row_scale, parameters
    return run(call, x, *[None] * 6, *arrays)


@functools.lru_cache(100)
def _quantize_call(rows: int, columns: int, threads: int, checked: bool) -> Call:
    plan = rows_plan(rows)
    program = _quantization(is_streamed(columns, rows), checked)
    lanes, max_vectors = program.format.lanes, program.max_vectors
    whole = Variant(max_vectors, "exact", max_vectors)  # loops over the features
    tiles = [(0, columns, variants(max_vectors).index(whole))]
    if columns < max_vectors * lanes:
        tiles = tile_features(columns, lanes, max_vectors)
    cuts = plan.row_tasks(columns, threads)[:, :2]
    tasks = [
        (*rows, *part) for rows in np.unique(cuts, axis=0).tolist() for part in tiles
    ]
    sizes = 0, rows, rows, columns, 0
    return Call(program, tasks, plan, sizes, 0, threads)
