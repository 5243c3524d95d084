"""Attention over a HAG without a step per edge: forward and backward, on the CPU.

The weight of an edge from j to i is `exp(leaky_relu(s[j] + t[i]))`. On either side of
`s[j] + t[i] = 0`, that is a factor of j times a factor of i. So what a destination
reads of an aggregate depends on its own score only by where that lies among the scores
of the aggregate's leaves: with the leaves in order, running sums from either end give
all of its readers what they need. That costs leaves plus readers, instead of their
product. Backward, the same holds with leaves and readers exchanged.
"""

import functools
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.cpu.sweep import tasks as sweep_tasks
from pyg_hag.ops.cpu.sweep.block import BINS, DIGIT, ENTRY_BYTES, F, Fields
from pyg_hag.plan.sweep import Side, SweepPlan, sweep_plan
from pyg_hag.runtime import memory, openmp, thread_pool
from pyg_hag.runtime.jit import native

_LINE = 64
_UNEVEN = 1.4
"""How much longer whole units may take on threads than evenly shared ones."""
_MIN_WORK = 1 << 13
"""The least work (of nodes and of entries of lists) for which threads share."""


class Forward(NamedTuple):
    """The results of :func:`sweep_forward`.

    Attributes:
        out: The weighted means, `[num_dst, heads, channels]`.
        positive: The part of them with positive scores; None if it is not asked for.
        share: The weights of that part, `[num_dst, heads]`; None like `positive`.
        top: The largest score of each row after the activation, `[num_dst, heads]`.
        inverse: The inverse of the sum of `exp(score - top)`, `[num_dst, heads]`.
    """

    out: Tensor
    positive: Tensor | None
    share: Tensor | None
    top: Tensor
    inverse: Tensor


def sweep_forward(
    x: Tensor,
    s: Tensor,
    t: Tensor,
    slope: float,
    hag: HAG,
    positive_too: bool = True,
) -> Forward | None:
    """Computes the softmax-weighted means of attention.

    Args:
        x: The features, `[num_src, heads, channels]`, float32 or float64. All tensors
            are contiguous and on the CPU.
        s: The scores of sources, `[num_src, heads]`.
        t: The scores of destinations, `[num_dst, heads]`.
        slope: The negative slope of the activation, from 0 to 1.
        hag: An unsigned HAG, of sets.
        positive_too: Whether to compute `positive` and `share`, for the gradient.

    Returns:
        The results; None if a score is infinite or NaN, which this does not compute.
    """
    num_dst, (_, heads, channels) = t.size(0), x.shape
    shape = num_dst, heads, channels
    out = memory.empty(x, num_dst, heads * channels).view(shape)
    positive = None
    if positive_too:
        positive = memory.empty(x, num_dst, heads * channels).view(shape)
    share = torch.empty_like(t) if positive_too else None
    top, inverse = torch.empty_like(t), torch.empty_like(t)
    tensors = {
        "x": x, "s": s, "t": t, "top": top, "inverse": inverse,
        "out": out, "positive": positive, "share": share,
    }  # fmt: skip
    done = _run(hag, False, (heads, channels), slope, tensors)
    return Forward(out, positive, share, top, inverse) if done else None


def sweep_backward(
    grad: Tensor,
    delta: Tensor,
    x: Tensor,
    s: Tensor,
    t: Tensor,
    top: Tensor,
    inverse: Tensor,
    slope: float,
    hag: HAG,
) -> tuple[Tensor, Tensor] | None:
    """Computes the gradients of the features and of the scores of sources.

    The latter are differences of two sums over the edges of a source: where all weights
    are 0 or 1, and these gradients 0, they are as far from it as sums are rounded.

    Args:
        grad: The gradient of the output, `[num_dst, heads, channels]`.
        delta: Its products with the output, `[num_dst, heads]`.
        x: The features.
        s: The scores of sources.
        t: The scores of destinations.
        top: See :class:`Forward`.
        inverse: See :class:`Forward`.
        slope: The negative slope of the activation.
        hag: The HAG.

    Returns:
        The gradients; None if a score is infinite or NaN, as in the forward pass.
    """
    columns = x.size(1) * x.size(2)
    grad_x = memory.empty(x, x.size(0), columns).view(x.shape)
    grad_s = torch.empty_like(s)
    tensors = {
        "x": x, "s": s, "t": t, "top": top, "inverse": inverse,
        "grad": grad, "delta": delta, "out": grad_x, "grad_s": grad_s,
    }  # fmt: skip
    done = _run(hag, True, (x.size(1), x.size(2)), slope, tensors)
    return (grad_x, grad_s) if done else None


def _run(
    hag: HAG,
    is_backward: bool,
    shape: tuple[int, int],
    slope: float,
    tensors: Mapping[str, Tensor | None],
) -> bool:
    """Runs all stages; returns whether all scores are finite."""
    size = tensors["x"].element_size()  # type: ignore[union-attr]
    threads = thread_pool.num_threads()
    call = _call(hag, is_backward, *shape, size, threads)
    block = call.block[:]
    slopes = np.array([slope], np.float64)
    block[F.slope] = slopes.ctypes.data
    for name, tensor in tensors.items():
        if tensor is not None:
            block[getattr(F, name)] = tensor.data_ptr()
    scratch = memory.scratch(max(call.scratch + _LINE, memory.MIN_BYTES))
    start = scratch.ctypes.data
    block[F.slots] = start + -start % _LINE
    block[F.tables] = block[F.slots] + call.slots
    address, team = block.buffer_info()[0], openmp.team()
    for stage, num_tasks, pieces in call.stages:
        block[F.thread] = block[F.next_task] = 0
        block[F.num_tasks], block[F.stage], block[F.pieces] = num_tasks, stage, pieces
        if num_tasks == 1 or call.threads == 1:
            call.entry.ctypes(address)
        else:
            openmp.run(call.entry, address, num_tasks, team)
        if block[F.failed]:
            return False
    return True


class _Call:
    """A sweep without its tensors: made once per HAG and shape.

    Args:
        plan: The plan of the HAG.
        is_backward: Whether gradients are computed.
        heads: Number of heads.
        channels: Number of channels of each head.
        size: Bytes of an element.
        threads: Number of threads.
    """

    def __init__(
        self,
        plan: SweepPlan,
        is_backward: bool,
        heads: int,
        channels: int,
        size: int,
        threads: int,
    ) -> None:
        side = plan.backward if is_backward else plan.forward
        is_wide = 2 * channels * size >= ENTRY_BYTES[1]
        entry_bytes = ENTRY_BYTES[is_wide]
        chunks = -(-channels // (entry_bytes // (2 * size)))
        self.entry = _entry(size)
        self._plan = plan  # keeps its arrays alive
        is_small = side.work.sum() * heads * channels < _MIN_WORK
        self.threads = 1 if is_small else threads
        is_split = self._shares_units(side.work, heads)
        units = plan.num_parts * heads
        offsets, slot_bytes = _slot(side, size, chunks)
        if not is_backward:
            offsets["values"] = offsets["in_scales"]
        table_bytes = entry_bytes * _entries(side)
        self.slots = slot_bytes * (units if is_split else threads)
        self.scratch = self.slots + table_bytes * threads
        self.stages = _stages(units, chunks, threads, is_split, is_backward)
        self.block = array("q", [0] * len(F))
        numbers = {
            "is_backward": int(is_backward), "heads": heads, "channels": channels,
            "num_in": side.in_nodes.size, "num_out": side.out_nodes.size,
            "num_aggs": plan.num_aggregates, "chunks": chunks,
            "is_wide": int(is_wide), "entry_bytes": entry_bytes,
            "slot_bytes": slot_bytes, "table_bytes": table_bytes, **offsets,
        }  # fmt: skip
        first = Fields._fields.index("in_nodes")
        rows = plan.forward
        read = *rows.out_aggs, *rows.direct, *plan.leaves
        for i, values in enumerate([*side.arrays, *read]):
            self.block[first + i] = values.ctypes.data
        for name, number in numbers.items():
            self.block[getattr(F, name)] = number

    def _shares_units(self, work: Any, heads: int) -> bool:
        """Whether threads share each unit, as there are too few to be even."""
        if self.threads == 1:
            return False
        loads = [0] * self.threads
        for unit in np.repeat(work, heads)[:4096]:
            loads[loads.index(min(loads))] += int(unit)
        total = sum(loads)
        return max(loads) * self.threads > _UNEVEN * total


@once_per_hag
def _call(
    hag: HAG, is_backward: bool, heads: int, channels: int, size: int, threads: int
) -> _Call:
    return _Call(sweep_plan(hag), is_backward, heads, channels, size, threads)


@functools.cache
def _entry(size: int) -> Any:
    """The native function for elements of this size."""
    names = {4: "sweep_float32", 8: "sweep_float64"}
    return native(getattr(sweep_tasks, names[size]))


def compile_sweeps(dtype: torch.dtype) -> None:
    """Compiles the kernels of sweeps, or loads them: float32 and float64 have any.

    Args:
        dtype: The dtype of the features.
    """
    if dtype in (torch.float32, torch.float64):
        _entry(dtype.itemsize)


def _stages(
    units: int, chunks: int, threads: int, is_split: bool, is_backward: bool
) -> list[tuple[int, int, int]]:
    """The stages: what is done, by how many tasks, and in how many pieces a unit is."""
    if not is_split:
        return [(sweep_tasks.ALL, units, 1)]
    pieces = 2 * threads
    rows = pieces * units
    return [
        (sweep_tasks.PREPARE, units, 1),
        (sweep_tasks.SUM, 2 * units, 2),
        *([] if is_backward else [(sweep_tasks.NORMALIZE, rows, pieces)]),
        (sweep_tasks.CHANNELS, chunks * units, chunks),
        *([(sweep_tasks.SCORES, rows, pieces)] if is_backward else []),
    ]


def _slot(side: Side, size: int, chunks: int) -> tuple[dict[str, int], int]:
    """Where each array of a unit lies in its scratch, and how many bytes it has."""
    largest = side.sizes.max(0, initial=0)
    ins, outs, aggs, components, entries, reads, direct = (int(n) for n in largest)
    keys = ins + outs
    passes = -(-8 * size // DIGIT)
    bytes_of = {
        "scores": keys * size, "keys": keys * size, "new_keys": keys * size,
        "ids": 4 * keys, "new_ids": 4 * keys, "bins": 4 * passes * BINS,
        "cursors": 4 * aggs, "listed": 4 * entries, "places": 4 * reads,
        "sides": 4 * direct, "in_scales": 2 * size * ins,
        "out_scales": 2 * size * outs, "values": 2 * size * ins,
        "sums": 4 * size * outs, "largest": 2 * size * outs,
        "reference": size * components,
        "is_far": max(ins, outs), "dots": chunks * outs * size,
    }  # fmt: skip
    offsets, end = {}, 0
    for name, count in bytes_of.items():
        offsets[name] = end
        end += -(-(count + 1) // _LINE) * _LINE
    return offsets, end


def _entries(side: Side) -> int:
    """Entries of the table of the largest part."""
    nodes = side.sizes[:, :2].sum(1).max(initial=0)
    return int(nodes + np.diff(side.agg_ptr).max(initial=0) + 1)
