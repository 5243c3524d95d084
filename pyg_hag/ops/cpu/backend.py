"""The CPU backend: native kernels over the rows of a HAG, on all threads."""

import functools
from itertools import product
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.backend import Backend
from pyg_hag.ops.cpu.extreme_grad import ExtremeGradient
from pyg_hag.ops.cpu.formats import FORMATS, VECTOR_BYTES
from pyg_hag.ops.cpu.program import Call, Tiled, entry_of, run
from pyg_hag.ops.cpu.reduction import Reduction
from pyg_hag.ops.cpu.tiling import tile_features, variants
from pyg_hag.ops.reductions import REDUCES
from pyg_hag.plan.cpu import AHEAD, Plan, forward_plan, group_plan, max_tile
from pyg_hag.runtime import openmp, thread_pool
from pyg_hag.utils.arrays import I64

DTYPES = tuple(getattr(torch, name) for name in FORMATS)
"""The dtypes of features that kernels read without a conversion."""

MIN_STREAMED_BYTES = 32 << 20
"""Results of at least this size are written past the caches."""
MAX_CACHED_BYTES = 1 << 20
"""Up to this size of the features within reach, inputs are not prefetched."""

_FEWEST_ROWS, _MOST_TASKS = 32, 1 << 14  # of a graph that is left plain, per tile
_MAX_INPUTS = 64  # of a row, in the mean
_BY_INPUT = 2  # whose the factors are: of inputs; 1: of sources; 0: there are none
_reduction = functools.cache(Reduction)
_extreme_gradient = functools.cache(ExtremeGradient)
_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in DTYPES}


class NumbaBackend(Backend):
    """Native kernels on the threads of PyTorch."""

    name = "numba"
    devices = ("cpu",)
    dtypes = DTYPES
    reductions = REDUCES

    def aggregate_sum(
        self,
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

        For x of shape `[N, F]`. The scales have the dtype in which sums are computed.
        """
        weighted = dst_scale is not None or self_scale is not None
        results = ("scaled_sum",) if weighted else ("sum",)
        return _reduce(x, src_scale, dst_scale, self_scale, hag, results)

    def aggregate_max(self, x: Tensor, hag: HAG, minimum: bool) -> Tensor:
        """The largest (or smallest) `x[u]` per destination; 0 where there is none."""
        return _reduce(x, None, None, None, hag, ("min" if minimum else "max",))

    def aggregate_max_backward(
        self, grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
    ) -> Tensor:
        """Splits each gradient evenly among the sources that attain the maximum.

        Like PyTorch's `scatter_reduce`, which also counts the zero it starts from.
        """
        grad_x = torch.zeros_like(x)
        columns = x.size(1)
        threads = thread_pool.num_threads()
        reduce = "min" if minimum else "max"
        key = reduce, x.dtype, columns, threads, openmp.checks_bounds()
        call = _gradient_call(hag, *key)
        if call.tasks:
            run(call, x, None, None, None, out, grad, grad_x)
        return grad_x

    def aggregate_many(
        self,
        x: Tensor,
        inverse_degree: Tensor,
        norm: Tensor | None,
        hag: HAG,
        reduces: tuple[str, ...],
    ) -> Tensor:
        """Several reductions in one pass over x of shape `[N, F]`, side by side."""
        return _reduce(x, norm, inverse_degree, norm, hag, reduces)


def aggregate_weighted(x: Tensor, weight: Tensor, hag: HAG) -> Tensor:
    """`out[v] = sum_e(weight[e] * x[u])`, for weights in the order of the inputs."""
    return _reduce(x, weight, None, None, hag, ("sum",), True)


def _reduce(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: HAG,
    results: tuple[str, ...],
    weighted: bool = False,
) -> Tensor:
    columns = x.size(1)
    threads = thread_pool.num_threads()
    factors = _BY_INPUT if weighted else src_scale is not None
    key = results, x.dtype, columns, factors, threads, openmp.checks_bounds()
    call = _reduce_call(hag, *key)
    return run(call, x, src_scale, dst_scale, self_scale)


@once_per_hag
def _reduce_call(
    hag: HAG,
    results: tuple[str, ...],
    dtype: torch.dtype,
    columns: int,
    factors: int,
    threads: int,
    checked: bool,
) -> Call:
    lanes = FORMATS[_NAMES[dtype]].lanes
    itemsize = VECTOR_BYTES // lanes
    if factors == _BY_INPUT:  # in the order of the graph
        plan = group_plan(hag)
    else:
        plan = forward_plan(hag, columns, threads, itemsize)
    row_bytes = columns * dtype.itemsize
    program = _reduction(
        results,
        _NAMES[dtype],
        factors != 0,
        plan.mid.size > 0,
        plan.num_slots > 0,
        needs_prefetching(hag, plan, min(row_bytes, 16 * VECTOR_BYTES)),
        is_streamed(row_bytes, len(results) * hag.num_dst),
        checked,
        factors == _BY_INPUT,
    )
    cuts = plan.row_tasks(columns, threads, itemsize)
    sizes = hag.num_src, hag.num_dst, columns
    return make_call(program, plan, cuts, lanes, row_bytes, sizes, threads)


def needs_prefetching(hag: HAG, plan: Plan, tile_bytes: int) -> bool:
    """Whether caches do not hold the features that neighbouring rows read.

    Args:
        hag: The graph.
        plan: Its plan.
        tile_bytes: Bytes of the features of a source that a task reads.
    """
    if hag.num_src * tile_bytes <= MAX_CACHED_BYTES:
        return False
    return plan.reach * tile_bytes > MAX_CACHED_BYTES


def is_streamed(row_bytes: int, num_rows: int) -> bool:
    """Whether vectors of results are aligned, and larger than caches."""
    return row_bytes % VECTOR_BYTES == 0 and row_bytes * num_rows >= MIN_STREAMED_BYTES


@once_per_hag
def _gradient_call(
    hag: HAG,
    reduce: str,
    dtype: torch.dtype,
    columns: int,
    threads: int,
    checked: bool,
) -> Call:
    plan = group_plan(hag)
    program = _extreme_gradient(reduce, _NAMES[dtype], plan.num_slots > 0, checked)
    cuts = plan.part_tasks(columns, threads)
    lanes, row_bytes = FORMATS[_NAMES[dtype]].lanes, columns * dtype.itemsize
    sizes = hag.num_src, hag.num_dst, columns
    return make_call(
        program, plan, cuts, lanes, row_bytes, sizes, threads, may_cut=False
    )


def make_call(
    program: Tiled,
    plan: Plan,
    cuts: I64,
    lanes: int,
    row_bytes: int,
    sizes: tuple[int, int, int],
    threads: int,
    may_cut: bool = True,
) -> Call:
    """Cuts the tasks of a plan into tiles of features.

    Args:
        program: The program to run.
        plan: The rows.
        cuts: Ranges of rows and features, see :meth:`Plan.row_tasks`.
        lanes: Features in a vector.
        row_bytes: Bytes of the features of a source.
        sizes: Numbers of sources, destinations and columns.
        threads: Number of threads.
        may_cut: Whether tiles may be narrower, so that aggregates stay in cache, and
            tasks of fewer rows: not those of a gradient, which are ranges of parts.
    """
    max_vectors = limit = program.max_vectors
    rows = None
    if may_cut:
        rows = _rows_of_a_task(plan)
        slot_size = plan.num_slots * program.slot_vectors * VECTOR_BYTES
        limit = max_tile(slot_size * (threads if len(cuts) > 1 else 1), max_vectors)
    tasks: list[Any] = []
    for first, last, f0, f1 in cuts.tolist():
        tiles = tile_features(f1 - f0, lanes, max_vectors, limit)
        step = rows if rows and len(tiles) > 1 else last - first
        for r in range(first, last, max(1, step)):
            end = min(r + step, last)
            for f, width, variant in tiles:
                if width > 0:
                    tasks.append((r, end, f0 + f, width, variant))
    known = variants(max_vectors)
    vectors = max((known[task[-1]].vectors for task in tasks), default=0)
    slot_bytes = program.slot_vectors * vectors * VECTOR_BYTES
    ahead = AHEAD if row_bytes <= 256 else AHEAD // 2
    slots = plan.num_slots + 1 if plan.num_slots else 0  # one more: see the gradient
    all_sizes = plan.num_slots, *sizes, ahead
    return Call(program, tasks, plan, all_sizes, slots * slot_bytes, threads)


def _rows_of_a_task(plan: Plan) -> int:
    """After how many rows of a tile those of the next tile are computed.

    The tiles of a source lie side by side, and are read faster one after the other,
    unless a few rows read more than caches hold. Aggregates are kept for a tile of all
    rows.
    """
    num_rows, num_inputs = int(plan.cuts[-1]), plan.inputs.size
    if plan.num_slots > 0 or not 0 < num_inputs <= _MAX_INPUTS * num_rows:
        return max(1, num_rows)
    return max(_FEWEST_ROWS, num_rows // _MOST_TASKS)


def compile_ahead(dtype: torch.dtype) -> None:
    """Compiles the programs of single reductions and of their gradients, or loads them.

    Args:
        dtype: The dtype of the features.
    """
    checked = openmp.checks_bounds()
    name = _NAMES.get(dtype, "float32")
    flags = False, True
    for result in ("sum", "scaled_sum", "var", "std", "max", "min"):
        is_sum = result in ("sum", "scaled_sum")
        for scaled, signed, has_aggregates in product(flags, flags, flags):
            if is_sum or not (scaled or signed):
                if signed and not has_aggregates:
                    continue
                for prefetch, stream in ((False, False), (True, False), (True, True)):
                    options = scaled, signed, has_aggregates, prefetch, stream, checked
                    entry_of(_reduction((result,), name, *options))
    wide = "float64" if name == "float64" else "float32"
    for reduce, has_aggregates in product(("max", "min"), flags):
        entry_of(_extreme_gradient(reduce, wide, has_aggregates, checked))
