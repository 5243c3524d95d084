"""The CPU backend: native kernels over the rows of a HAG, on all threads."""

import functools
from itertools import product
from typing import Any

import torch
from torch import Tensor

from pyg_hag import _memory, _parallel, _threads
from pyg_hag._plan import AHEAD, I64, Plan, forward_plan, group_plan
from pyg_hag.hag import HAG
from pyg_hag.ops._ir import FORMATS, VECTOR_BYTES, tile, variants
from pyg_hag.ops._max_grad import ExtremeGradient
from pyg_hag.ops._reduce import Reduction
from pyg_hag.ops._tasks import Call, Program, entry_of, run

DTYPES = tuple(getattr(torch, name) for name in FORMATS)
"""The dtypes of features that kernels read as they are."""

FAR = 32 << 20
"""Bytes of results from which on they are written past the caches."""
NEAR = 1 << 20
"""Bytes of features in reach, up to which caches need no help by prefetching."""

_BY_INPUT = 2  # where factors belong, else 1 for sources and 0 for none
_reduction = functools.cache(Reduction)
_extreme_gradient = functools.cache(ExtremeGradient)
_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in DTYPES}


def aggregate_sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: HAG,
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

    For x of shape [N, F]. The scales have the dtype in which sums are computed.
    """
    weighted = dst_scale is not None or self_scale is not None
    results = ("scaled_sum",) if weighted else ("sum",)
    return _reduce(x, src_scale, dst_scale, self_scale, hag, results)


def aggregate_weighted(x: Tensor, weight: Tensor, hag: HAG) -> Tensor:
    """`out[v] = sum_e(weight[e] * x[u])`, for the weights of inputs, row by row."""
    return _reduce(x, weight, None, None, hag, ("sum",), True)


def aggregate_many(
    x: Tensor,
    inverse_degree: Tensor | None,
    norm: Tensor | None,
    hag: HAG,
    results: tuple[str, ...],
) -> Tensor:
    """Several reductions in one pass over x of shape [N, F], side by side."""
    return _reduce(x, norm, inverse_degree, norm, hag, results)


def _reduce(
    x: Tensor,
    before: Tensor | None,
    after: Tensor | None,
    own: Tensor | None,
    hag: HAG,
    results: tuple[str, ...],
    weighted: bool = False,
) -> Tensor:
    columns = x.size(1)
    threads = _threads.num_threads()
    factors = _BY_INPUT if weighted else before is not None
    key = results, x.dtype, columns, factors, threads, _parallel.checks_bounds()
    call = hag._cached(key, lambda: _reduce_call(hag, *key))
    out = _memory.empty(x, call.num_dst, len(results) * columns)
    if call.tasks:
        run(call, x, before, after, own, out)
    return out


def _reduce_call(
    hag: HAG,
    results: tuple[str, ...],
    dtype: torch.dtype,
    columns: int,
    factors: int,
    threads: int,
    checked: bool,
) -> Call:
    plan = forward_plan(hag, columns, threads)
    size = columns * dtype.itemsize
    tiled = min(size, 16 * VECTOR_BYTES)
    near = hag.num_src * tiled <= NEAR or plan.reach * tiled <= NEAR
    program = _reduction(
        results,
        _NAMES[dtype],
        factors != 0,
        plan.mid.size > 0,
        plan.num_slots > 0,
        not near,
        is_streamed(columns * dtype.itemsize, len(results) * hag.num_dst),
        checked,
        factors == _BY_INPUT,
    )
    cuts = plan.row_tasks(columns, threads)
    lanes = FORMATS[_NAMES[dtype]].lanes
    sizes = hag.num_src, hag.num_dst, columns
    return call_of(program, plan, cuts, lanes, size, sizes, threads)


def is_streamed(row: int, rows: int) -> bool:
    """Whether vectors of results are aligned, and more than caches hold."""
    return row % VECTOR_BYTES == 0 and row * rows >= FAR


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    return _reduce(x, None, None, None, hag, ("min" if minimum else "max",))


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    grad_x = torch.zeros_like(x)
    columns = x.size(1)
    threads = _threads.num_threads()
    which = "min" if minimum else "max"
    key = "gradient", which, x.dtype, columns, threads, _parallel.checks_bounds()
    call = hag._cached(key, lambda: _gradient_call(hag, *key[1:]))
    if call.tasks:
        run(call, x, None, None, None, out, grad, grad_x)
    return grad_x


def _gradient_call(
    hag: HAG,
    which: str,
    dtype: torch.dtype,
    columns: int,
    threads: int,
    checked: bool,
) -> Call:
    plan = group_plan(hag)
    shared = plan.num_slots > 0
    program = _extreme_gradient(which, _NAMES[dtype], shared, checked)
    cuts = plan.part_tasks(columns, threads)
    lanes, size = FORMATS[_NAMES[dtype]].lanes, columns * dtype.itemsize
    sizes = hag.num_src, hag.num_dst, columns
    return call_of(program, plan, cuts, lanes, size, sizes, threads)


def call_of(
    program: Program,
    plan: Plan,
    cuts: I64,
    lanes: int,
    row: int,
    sizes: tuple[int, int, int],
    threads: int,
) -> Call:
    """Cuts the tasks of a plan into tiles of features.

    Args:
        program: What to run.
        plan: The rows.
        cuts: Ranges of rows and features, see :meth:`Plan.row_tasks`.
        lanes: Features in a vector.
        row: Bytes of the features of a source.
        sizes: Sources, destinations, and columns.
        threads: How many.
    """
    most = program.most_vectors
    tasks: list[Any] = []
    for first, last, f0, f1 in cuts.tolist():
        for f, width, variant in tile(f1 - f0, lanes, most):
            if width > 0 and last > first:
                tasks.append((first, last, f0 + f, width, variant))
    vectors = max((variants(most)[task[-1]].vectors for task in tasks), default=0)
    slot = program.slot_vectors * vectors * VECTOR_BYTES
    ahead = AHEAD if row <= 512 else AHEAD // 2
    slots = plan.num_slots + 1 if plan.num_slots else 0  # one more: see the gradient
    given = plan.num_slots, *sizes, ahead
    return Call(program, tasks, plan, given, slots * slot, threads)


def compile_ahead(dtype: torch.dtype) -> None:
    """Compiles what single reductions and their gradients need, or loads it."""
    checked = _parallel.checks_bounds()
    name = _NAMES.get(dtype, "float32")
    flags = False, True
    for result in ("sum", "scaled_sum", "var", "std", "max", "min"):
        sums = result in ("sum", "scaled_sum")
        for scaled, signed, shared in product(flags, flags, flags):
            if sums or not (scaled or signed):
                for prefetch, stream in product(flags, flags):
                    rest = scaled, signed, shared, prefetch, stream, checked
                    entry_of(_reduction((result,), name, *rest))
    wide = "float64" if name == "float64" else "float32"
    for which, shared in product(("max", "min"), flags):
        entry_of(_extreme_gradient(which, wide, shared, checked))
