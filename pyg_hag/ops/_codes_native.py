"""The native programs on codes: sums, rounding, and packing of small codes."""

import functools
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag import _memory, _parallel, _threads
from pyg_hag._plan import forward_plan, rows_plan
from pyg_hag.hag import HAG
from pyg_hag.ops._codes import LARGEST, Epilogue, Scale
from pyg_hag.ops._integer import IntegerReduction
from pyg_hag.ops._ir import VECTOR_BYTES, Variant, tile, variants
from pyg_hag.ops._numba import NEAR, call_of, is_streamed
from pyg_hag.ops._rounding import Packing, Rounding
from pyg_hag.ops._tasks import Call, run

_integer_reduction = functools.cache(IntegerReduction)
_rounding = functools.cache(Rounding)
_packing = functools.cache(Packing)
_ENDS = {16: 2**16, 32: 2**31, 64: 2**63}


def compute_reduction(
    x: Tensor, of: Scale, hag: HAG, reduce: str, own: Tensor | None, after: Epilogue
) -> Tensor:
    x = x.contiguous()
    count, most = counts_of_codes(hag, own) if reduce == "sum" else (None, 0)
    bits = accumulator(most, of.most) if reduce == "sum" else 8
    columns, threads = x.size(1), _threads.num_threads()
    narrow = of.most < 16 and columns % 2 == 0
    if narrow:
        x = _packed_codes(x)
    rounds, checked = after.to is not None, _parallel.checks_bounds()
    key = "codes", reduce, bits, rounds, columns, threads, checked, narrow
    call = hag._cached(key, lambda: _reduce_call(hag, *key[1:]))
    numbers = _numbers(of, after)
    out = _memory.empty(x if rounds else numbers, hag.num_dst, columns)
    if call.tasks:
        rest = None if after.rest is None else after.rest.codes.contiguous()
        features = after.gain, after.bias, rest, after.rest_gain
        arrays = count, *features, after.next_scale, numbers
        run(call, x, None, after.dst_scale, own, out, None, None, *arrays)
    return out


def _numbers(of: Scale, after: Epilogue) -> Tensor:
    rest = after.rest[1:] if after.rest else (0.0, 0)
    return _known_numbers(of, after.relu, rest, after.to or Scale(1.0, 0))


@functools.lru_cache(1000)
def _known_numbers(of: Scale, relu: bool, rest: tuple[float, int], to: Scale) -> Tensor:
    lowest = 0.0 if relu else -torch.inf
    numbers = of.scale, of.zero, lowest, *rest, to.inverse, to.zero, to.most
    return torch.tensor(numbers, dtype=torch.float32, device="cpu")


def _reduce_call(
    hag: HAG,
    reduce: str,
    bits: int,
    rounds: bool,
    columns: int,
    threads: int,
    checked: bool,
    narrow: bool,
) -> Call:
    plan = forward_plan(hag, columns, threads)
    row = columns * (1 if rounds else 4)
    columns = columns // 2 if narrow else columns
    tiled = min(columns, 8 * VECTOR_BYTES)
    near = hag.num_src * tiled <= NEAR or plan.reach * tiled <= NEAR
    program = _integer_reduction(
        reduce,
        bits,
        rounds,
        plan.mid.size > 0,
        plan.num_slots > 0,
        not near,
        columns % VECTOR_BYTES == 0 and is_streamed(row, hag.num_dst),
        checked,
        narrow,
    )
    cuts = plan.row_tasks(columns, threads)
    lanes, sizes = program.format.lanes, (hag.num_src, hag.num_dst, columns)
    return call_of(program, plan, cuts, lanes, columns, sizes, threads)


def counts_of_codes(hag: HAG, own: Tensor | None) -> tuple[Tensor, int]:
    """How many codes are summed for each destination, and of how many a sum may be.

    Where some are subtracted, that are more than 16 unsigned bits would hold.
    """
    if own is None:
        return hag._cached("counts", lambda: _with_most(hag.in_degree.int(), None))
    cache: Any = hag._cache  # type: ignore[attr-defined]
    known = cache.get("counts with own")
    if known is None or known[0]() is not own or known[1] != own._version:
        counted = _with_most(hag.in_degree.int(), own)
        known = cache["counts with own"] = weakref.ref(own), own._version, counted
    counts: tuple[Tensor, int] = known[2]
    return counts


def _with_most(degree: Tensor, own: Tensor | None) -> tuple[Tensor, int]:
    if degree.numel() == 0:
        return degree, 0
    if own is None:
        return degree, int(degree.max())
    most = int((degree.long() + own.abs()).max())
    return degree + own, max(most, _ENDS[16] if int(own.min()) < 0 else 0)


def accumulator(most: int, largest: int = LARGEST) -> int:
    """Bits of whole numbers that hold the sum of so many codes."""
    return next(bits for bits, end in _ENDS.items() if most * largest < end)


def _packed_codes(x: Tensor) -> Tensor:
    rows, columns = x.size(0), x.size(1) // 2
    out = _memory.empty(x, rows, columns)
    if out.numel() > 0:
        threads, checked = _threads.num_threads(), _parallel.checks_bounds()
        call = _packing_call(rows, columns, threads, checked)
        run(call, x, None, None, None, out)
    return out


@functools.lru_cache(100)
def _packing_call(rows: int, columns: int, threads: int, checked: bool) -> Call:
    plan = rows_plan(rows)
    program = _packing(is_streamed(columns, rows), checked)
    cuts = plan.row_tasks(columns, threads)
    lanes, sizes = program.format.lanes, (rows, rows, columns)
    return call_of(program, plan, cuts, lanes, columns, sizes, threads)


def compute_codes(
    x: Tensor,
    to: Scale,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    x = x.detach().float().contiguous()
    rows, columns = x.shape
    numbers = _numbers(Scale(1.0, 0), Epilogue(to=to))
    out = _memory.empty(x.new_empty(0, dtype=torch.uint8), rows, columns)
    if out.numel() > 0:
        threads, checked = _threads.num_threads(), _parallel.checks_bounds()
        call = _rounding_call(rows, columns, threads, checked)
        arrays = None, gain, bias, None, None, factor, numbers
        run(call, x, None, None, None, out, None, None, *arrays)
    return out


@functools.lru_cache(100)
def _rounding_call(rows: int, columns: int, threads: int, checked: bool) -> Call:
    plan = rows_plan(rows)
    program = _rounding(is_streamed(columns, rows), checked)
    lanes, most = program.format.lanes, program.most_vectors
    wide = columns >= most * lanes
    tiles = [(0, columns, variants(most).index(Variant(most, "exact", most)))]
    if not wide:
        tiles = tile(columns, lanes, most)
    cuts = plan.row_tasks(columns, threads)[:, :2]
    tasks = [
        (*rows, *part) for rows in np.unique(cuts, axis=0).tolist() for part in tiles
    ]
    given = 0, rows, rows, columns, 0
    return Call(program, tasks, plan, given, 0, threads)
