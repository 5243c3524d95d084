"""INT8: sums of codes over a HAG, products of codes, and rounding to codes.

A code q stands for :math:`s (q - z)`, with a scale s and a zero point z.
"""

import functools
import weakref
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag import _memory, _parallel, _threads
from pyg_hag._plan import forward_plan, rows_plan
from pyg_hag._views import resolved, sizes
from pyg_hag.hag import HAG
from pyg_hag.ops._integer import IntegerReduction, Packing, Rounding
from pyg_hag.ops._ir import VECTOR_BYTES, Variant, tile, variants
from pyg_hag.ops._numba import NEAR, call_of, is_streamed
from pyg_hag.ops._operators import _is_traced
from pyg_hag.ops._tasks import Call, run

REDUCES = ("sum", "max", "min")
_integer_reduction = functools.cache(IntegerReduction)
_rounding = functools.cache(Rounding)
_packing = functools.cache(Packing)
_LARGEST = 255  # code
_PART = 8 << 20  # bytes of codes that lie in memory at once
_ENDS = {16: 2**16, 32: 2**31, 64: 2**63}


class Scale(NamedTuple):
    """What codes stand for: `scale * (code - zero)`.

    Attributes:
        scale: What a step is worth.
        zero: The code of zero.
        most: The largest code, 255 or 15; the smallest is 0.
    """

    scale: float
    zero: int
    most: int = _LARGEST


class Rest(NamedTuple):
    """Further codes, `[N, F]`, that are added: a residual."""

    codes: Tensor
    scale: float
    zero: int


class Epilogue(NamedTuple):
    """What becomes of a result before it is stored, in this order.

    Attributes:
        dst_scale: Factors of the rows, float32 `[N]`.
        gain: Factors of the features, float32 `[F]`.
        bias: What is added to the features, float32 `[F]`.
        rest: Codes that are added.
        rest_gain: Factors of their features, float32 `[F]`.
        relu: Whether what is negative becomes 0.
        next_scale: Factors of the rows, before they are rounded.
        to: What codes of the result stand for; if None, it is float32.
    """

    dst_scale: Tensor | None = None
    gain: Tensor | None = None
    bias: Tensor | None = None
    rest: Rest | None = None
    rest_gain: Tensor | None = None
    relu: bool = False
    next_scale: Tensor | None = None
    to: Scale | None = None


def aggregate_codes(
    x: Tensor,
    of: Scale,
    hag: HAG,
    reduce: str = "sum",
    own: Tensor | None = None,
    epilogue: Epilogue | None = None,
) -> Tensor:
    r"""Reduces codes over a HAG.

    .. math::
        \mathbf{y}_v = \mathrm{epilogue}\Big( s \Big( \sum_{u \in \mathcal{N}(v)}
        (\mathbf{q}_u - z) + c_v (\mathbf{q}_v - z) \Big) \Big)

    The sum is one of whole numbers and so has the same bits on every HAG of a graph,
    with any number of threads. They are as wide as the largest degree needs.

    Codes of four bits are put two to a byte first, if there is an even number of
    features, so that sums read half of the bytes.

    Args:
        x (torch.Tensor): Codes of the sources, uint8 `[num_src, F]`.
        of (Scale): What they stand for.
        hag (HAG): The graph.
        reduce (str): `"sum"`, `"max"` or `"min"`.
        own (torch.Tensor, optional): How often each node's own codes count besides
            (for sums), int32 `[num_dst]`; below 0 as far as it has self-loops.
        epilogue (Epilogue, optional): What becomes of the result.

    Returns:
        torch.Tensor: uint8 (or float32) `[num_dst, F]`.

    Raises:
        TypeError: If codes are not uint8.
        ValueError: If shapes or `reduce` are wrong.
    """
    epilogue = epilogue or Epilogue()
    if x.dtype != torch.uint8:
        raise TypeError(f"'x' must have dtype torch.uint8 (got {x.dtype})")
    if reduce not in REDUCES:
        raise ValueError(f"'reduce' must be one of {list(REDUCES)} (got {reduce!r})")
    if x.dim() != 2 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [{hag.num_src}, F], one row for each source (got "
            f"{list(x.shape)})"
        )
    if _is_traced(x):
        return _aggregate_operator(x, *of, *hag._handle, reduce, own, *_flat(epilogue))
    return _aggregate(x, of, hag, reduce, own, epilogue)


def _aggregate(
    x: Tensor, of: Scale, hag: HAG, reduce: str, own: Tensor | None, after: Epilogue
) -> Tensor:
    x = x.contiguous()
    count, most = _counts(hag, own) if reduce == "sum" else (None, 0)
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
    rest_scale, rest_zero = (after.rest[1:]) if after.rest else (0.0, 0)
    to = after.to or Scale(1.0, 0)
    lowest = 0.0 if after.relu else -torch.inf
    inverse = torch.tensor(to.scale, dtype=torch.float32).reciprocal().item()
    return torch.tensor(
        [of.scale, of.zero, lowest, rest_scale, rest_zero, inverse, to.zero, to.most]
    )


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
        is_streamed(columns, 1) and is_streamed(row, hag.num_dst),
        checked,
        narrow,
    )
    cuts = plan.row_tasks(columns, threads)
    lanes, sizes = program.format.lanes, (hag.num_src, hag.num_dst, columns)
    return call_of(program, plan, cuts, lanes, columns, sizes, threads)


def _counts(hag: HAG, own: Tensor | None) -> tuple[Tensor, int]:
    """How many codes are summed for each destination, and the most of them."""
    if own is None:
        return hag._cached("counts", lambda: _with_most(hag.in_degree.int()))
    cache: Any = hag._cache  # type: ignore[attr-defined]
    known = cache.get("counts with own")
    if known is None or known[0]() is not own or known[1] != own._version:
        counted = _with_most(hag.in_degree.int() + own)
        known = cache["counts with own"] = weakref.ref(own), own._version, counted
    counts: tuple[Tensor, int] = known[2]
    return counts


def _with_most(count: Tensor) -> tuple[Tensor, int]:
    return count, int(count.max()) if count.numel() else 0


def accumulator(most: int, largest: int = _LARGEST) -> int:
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


# Rounding and products ########################################################


def round_to_codes(
    x: Tensor,
    to: Scale,
    factor: Tensor | None = None,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Rounds values to codes.

    .. math::
        \mathrm{clamp}(\lfloor a_v (\mathbf{g} \odot \mathbf{x}_v + \mathbf{b})
        / s \rceil + z)

    Args:
        x (torch.Tensor): Values, `[N, F]`.
        to (Scale): What codes stand for.
        factor (torch.Tensor, optional): Factors of the rows, float32 `[N]`.
        gain (torch.Tensor, optional): Factors of the features, float32 `[F]`.
        bias (torch.Tensor, optional): What is added to them, float32 `[F]`.

    Returns:
        torch.Tensor: uint8 `[N, F]`.
    """
    if _is_traced(x):
        return _round_operator(x, *to, factor, gain, bias)
    return _round(x, to, factor, gain, bias)


def _round(
    x: Tensor,
    to: Scale,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    x = x.detach().float().contiguous()
    rows, columns = x.shape
    numbers = _numbers(Scale(1.0, 0), Epilogue(to=to))
    out = _memory.empty(torch.empty(0, dtype=torch.uint8), rows, columns)
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


def linear_codes(
    x: Tensor,
    of: Scale,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    rest: Rest | None = None,
    to: Scale | None = None,
) -> Tensor:
    r"""A linear layer on codes, by oneDNN.

    .. math::
        \mathbf{y} = s \, (\mathbf{q} - z) \, \mathrm{diag}(\mathbf{w})
        \mathbf{Q}^\top + \mathbf{b} + s' (\mathbf{q}' - z')

    Args:
        x (torch.Tensor): Codes, uint8 `[N, K]`: for others oneDNN has no fast code.
        of (Scale): What they stand for.
        weight (torch.Tensor): Codes of the weight, int8 `[M, K]`, or what
            :func:`packed` makes of them.
        weight_scale (torch.Tensor): Their scales, float32 `[M]`.
        bias (torch.Tensor, optional): float32 `[M]`.
        relu (bool): Whether what is negative becomes 0.
        rest (Rest, optional): Codes that are added.
        to (Scale, optional): What codes of the result stand for; else it is float32.

    Returns:
        torch.Tensor: uint8 (or float32) `[N, M]`.
    """
    if x.dtype != torch.uint8:
        raise TypeError(f"'x' must have dtype torch.uint8 (got {x.dtype})")
    if _is_traced(x):
        other = rest or (None, 0.0, 0)
        end = to or (0.0, 0, 0)
        known = *of, weight, weight_scale, bias
        return _linear_operator(x, *known, relu, *other, *end)
    return _linear(x, of, weight, weight_scale, bias, relu, rest, to)


def _linear(
    x: Tensor,
    of: Scale,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    rest: Rest | None,
    to: Scale | None,
) -> Tensor:
    if not weight.is_mkldnn:
        weight = packed(weight)
    rows, columns = x.size(0), weight_scale.numel()
    dtype = torch.float32 if to is None else torch.uint8
    scale, zero = (1.0, 0) if to is None else to[:2]
    after: tuple[Any, ...] = ("relu" if relu else "none", [], "")
    known = x, of.scale, of.zero, weight, weight_scale, _zeros(columns)
    end = bias, scale, zero, dtype
    product = torch.ops.onednn.qlinear_pointwise.binary
    if rest is not None and to is None:
        values = (rest.codes.float() - rest.zero) * rest.scale
        added: Tensor = product(*known, values, *end, 1.0, 0, "add", 1.0, *after)
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
    if to is not None and to.most < _LARGEST:  # where oneDNN goes on
        out.clamp_(max=to.most)
    return out


def linear_rounded(
    x: Tensor,
    to_codes: Scale,
    factor: Tensor | None,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    to: Scale | None = None,
) -> Tensor:
    """Rounds values to codes and multiplies them, some rows at a time.

    So that all codes never lie in memory at once. See :func:`round_to_codes` and
    :func:`linear_codes`.
    """
    known = weight, weight_scale, bias, relu, None, to
    rows, columns = x.shape
    step = max(1, _PART // max(1, columns))
    if step >= rows or _is_traced(x):
        return linear_codes(round_to_codes(x, to_codes, factor), to_codes, *known)
    out = None
    for i in range(0, rows, step):
        some = None if factor is None else factor[i : i + step]
        codes = round_to_codes(x[i : i + step], to_codes, some)
        part = linear_codes(codes, to_codes, *known)
        if out is None:
            out = _memory.empty(part, rows, part.size(1))
        out[i : i + step] = part
    assert out is not None
    return out


@functools.lru_cache(100)
def _zeros(columns: int) -> Tensor:
    """The zeros of the codes of a weight."""
    return torch.zeros(columns, dtype=torch.int64)


@functools.cache
def products_are_exact() -> bool:
    """Whether the processor adds products of codes without cutting them off.

    Those that multiply pairs into 16 bits do not (x86 before VNNI).
    """
    x, weight = torch.full((1, 64), 255), torch.full((1, 64), 127)
    rows, of = x.to(torch.uint8), Scale(1.0, 0)
    out = _linear(
        rows, of, weight.to(torch.int8), torch.ones(1), None, False, None, None
    )
    return float(out) == float((x * weight).sum())


def packed(weight: Tensor) -> Tensor:
    """Codes of a weight, int8 `[M, K]`, as oneDNN wants them."""
    out: Tensor = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
    return out


# Operators ####################################################################


def _flat(after: Epilogue) -> tuple[Any, ...]:
    rest, rest_scale, rest_zero = after.rest or (None, 0.0, 0)
    scale, zero, most = after.to or (0.0, 0, 0)
    return (
        after.dst_scale, after.gain, after.bias, rest, rest_scale, rest_zero,
        after.rest_gain, after.relu, after.next_scale, scale, zero, most,
    )  # fmt: skip


@torch.library.custom_op("pyg_hag::aggregate_codes", mutates_args=())
def _aggregate_operator(
    x: Tensor,
    of_scale: float,
    of_zero: int,
    of_most: int,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    reduce: str,
    own: Tensor | None,
    dst_scale: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
    rest: Tensor | None,
    rest_scale: float,
    rest_zero: int,
    rest_gain: Tensor | None,
    relu: bool,
    next_scale: Tensor | None,
    scale: float,
    zero: int,
    most: int,
) -> Tensor:
    added = None if rest is None else Rest(rest, rest_scale, rest_zero)
    to = Scale(scale, zero, most) if most else None
    after = Epilogue(dst_scale, gain, bias, added, rest_gain, relu, next_scale, to)
    of = Scale(of_scale, of_zero, of_most)
    return _aggregate(x, of, resolved(tensors, num_src, view), reduce, own, after)


@_aggregate_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    tensors, num_src, view, most = *args[3:6], args[-1]
    dtype = torch.uint8 if most else torch.float32
    return x.new_empty(sizes(tensors, num_src, view)[1], x.size(1), dtype=dtype)


@torch.library.custom_op("pyg_hag::round_to_codes", mutates_args=())
def _round_operator(
    x: Tensor,
    scale: float,
    zero: int,
    most: int,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    return _round(x, Scale(scale, zero, most), factor, gain, bias)


@_round_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    return x.new_empty(x.shape, dtype=torch.uint8)


@torch.library.custom_op("pyg_hag::linear_codes", mutates_args=())
def _linear_operator(
    x: Tensor,
    of_scale: float,
    of_zero: int,
    of_most: int,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    rest: Tensor | None,
    rest_scale: float,
    rest_zero: int,
    scale: float,
    zero: int,
    most: int,
) -> Tensor:
    added = None if rest is None else Rest(rest, rest_scale, rest_zero)
    to = Scale(scale, zero, most) if most else None
    of = Scale(of_scale, of_zero, of_most)
    return _linear(x, of, weight, weight_scale, bias, relu, added, to)


@_linear_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    weight, most = args[3], args[-1]
    dtype = torch.uint8 if most else torch.float32
    return x.new_empty(x.size(0), weight.size(0), dtype=dtype)
