"""How the CPU kernels walk a HAG: its rows in 32 bits, and cuts between threads."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._derived import pointers
from pyg_hag._schedule import schedule
from pyg_hag.hag import HAG

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

LEAST_WORK = 1 << 18  # elements read; below, another thread costs more than it saves
CHUNKS_PER_THREAD = 4
LANES = 16  # features of one cache line in float32
MOST_REPEATED = 1.3  # reads when parts repeat aggregates, over those when none does


@dataclass(frozen=True, eq=False)
class Plan:
    """The arrays that a kernel takes, made once per HAG.

    Attributes:
        kind: Per row: its destination, or -1 - slot for an aggregate, whose values
            live in that slot of the scratch.
        src_ptr: Row r reads the sources `src[src_ptr[r] : src_ptr[r + 1]]`.
        src_mid: Row r subtracts the sources from `src_mid[r]` on. Empty where no row
            subtracts.
        src: Source inputs.
        agg_ptr: Row r reads the slots `agg[agg_ptr[r] : agg_ptr[r + 1]]`.
        agg_mid: Row r subtracts the slots from `agg_mid[r]` on, as for sources.
        agg: Slots of the aggregate inputs.
        slots: How many slots each part needs.
        part_ptr: First row of each part; no part reads another's aggregates.
        cuts: Rows before which the work may be cut: the start of a part, or any
            row of a part without aggregates.
        cut_work: Inputs and rows before each cut.
    """

    kind: I32
    src_ptr: I64
    src_mid: I64
    src: I32
    agg_ptr: I64
    agg_mid: I64
    agg: I32
    slots: I64
    part_ptr: I64
    cuts: I64
    cut_work: I64

    @cached_property
    def num_slots(self) -> int:
        """Most slots that any part needs."""
        return int(self.slots.max(initial=0))

    @cached_property
    def rows(self) -> tuple[Any, ...]:
        """The arguments that every kernel takes."""
        sources = self.src_ptr, self.src_mid, self.src
        aggregates = self.agg_ptr, self.agg_mid, self.agg
        return self.kind, *sources, *aggregates, self.part_ptr, self.num_slots

    @cached_property
    def addresses(self) -> list[int]:
        """The same as numbers: the address and size of each array, and the slots."""
        *arrays, num_slots = self.rows
        return [n for a in arrays for n in (a.ctypes.data, a.size)] + [num_slots]

    def row_tasks(self, width: int, threads: int) -> I64:
        """Cuts rows and features into `(first row, last row, f0, f1)`.

        Rows are cut between parts. A part that is too large for one thread is cut by
        features, each thread doing all of its rows: no thread waits for another.
        """
        key = width, threads
        if key not in self._row_tasks:
            self._row_tasks[key] = _tasks(self.cuts, self.cut_work, width, threads)
        return self._row_tasks[key]

    def part_tasks(self, width: int, threads: int) -> I64:
        """Cuts parts and features into `(first part, last part, f0, f1)`."""
        work = self.src_ptr[self.part_ptr] + self.agg_ptr[self.part_ptr]
        parts = np.arange(self.part_ptr.size)
        return _tasks(parts, work + self.part_ptr, width, threads)

    @cached_property
    def _row_tasks(self) -> dict[tuple[int, int], I64]:
        return {}


def _tasks(cuts: I64, work: I64, width: int, threads: int) -> I64:
    total = int(work[-1])
    if not is_work_shared(total, width, threads) or cuts.size < 2:
        return np.array([(cuts[0], cuts[-1], 0, width)], np.int64)
    share = total / (CHUNKS_PER_THREAD * threads)
    targets = np.arange(1, CHUNKS_PER_THREAD * threads) * share
    places = np.unique([0, *np.searchsorted(work, targets), cuts.size - 1])
    tasks = []
    for i, j in pairwise(places):
        tiles = [0, width]
        if work[j] - work[i] > 1.5 * total / threads:
            step = -(-width // (threads * LANES)) * LANES
            tiles = [*range(0, width, step), width]
        for f0, f1 in pairwise(tiles):
            tasks.append((cuts[i], cuts[j], f0, f1))
    return np.array(tasks, np.int64)


def is_work_shared(work: int, width: int, threads: int) -> bool:
    """Whether several threads take part."""
    return threads > 1 and work * width >= LEAST_WORK


def is_shared(hag: HAG, width: int, threads: int) -> bool:
    """Whether several threads take part in one call."""
    return is_work_shared(hag.src.numel() + hag.agg.numel(), width, threads)


def forward_plan(hag: HAG, width: int, threads: int) -> Plan:
    """The plan for reductions: each aggregate just before the first row that reads it.

    A group that is too large for one thread is cut into parts, or, where these would
    repeat too many aggregates and there are features enough, left whole.
    """
    if hag.num_aggregates == 0 and not hag.is_signed:
        return group_plan(hag)
    whole = hag._cached("plan", lambda: _scheduled(hag, 1))
    if not is_work_shared(int(whole.cut_work[-1]), width, threads):
        return whole
    cut = hag._cached(f"plan {threads}", lambda: _scheduled(hag, threads))
    if width >= threads * LANES:
        repeated = cut.src.size + cut.agg.size
        if repeated > MOST_REPEATED * (whole.src.size + whole.agg.size):
            return whole
    return cut


def _scheduled(hag: HAG, threads: int) -> Plan:
    a = hag._arrays()
    ends = pointers(a["group_aggs"] + a["group_dsts"])
    work = np.diff(a["src_ptr"][ends] + a["agg_ptr"][ends] + ends)
    large = (a["group_aggs"] > 0) & (work > work.sum() / (2 * threads))
    parts = np.where(large, threads, 1)
    rows, part_ptr, part_aggs, slots = schedule(
        a["kinds"],
        a["src_ptr"],
        a["src_mid"],
        a["src"],
        a["agg_ptr"],
        a["agg_mid"],
        a["agg"],
        a["group_aggs"],
        a["group_dsts"],
        parts,
        hag.is_signed,
    )
    return _plan(rows, slots, part_ptr, part_aggs == 0)


def group_plan(hag: HAG) -> Plan:
    """The plan for kernels that walk back: groups whole, each aggregate in its slot.

    Also that of the graph as it is, in which there is nothing to schedule.
    """
    return hag._cached("group plan", lambda: _grouped(hag))


def _grouped(hag: HAG) -> Plan:
    a = hag._arrays()
    group_aggs, group_dsts = a["group_aggs"], a["group_dsts"]
    first = np.repeat(np.cumsum(group_aggs) - group_aggs, group_aggs)
    kind = a["kinds"].astype(np.int32)
    kind[kind < 0] += first.astype(np.int32)
    unsigned = np.empty(0, np.int64)  # what walks back cannot subtract
    sources = a["src_ptr"], unsigned, a["src"].astype(np.int32)
    agg = (a["agg"] - first[a["agg"]]).astype(np.int32)
    rows = kind, *sources, a["agg_ptr"], unsigned, agg
    part_ptr = pointers(group_aggs + group_dsts)
    return _plan(rows, group_aggs, part_ptr, group_aggs == 0)


def _plan(
    rows: tuple[Any, ...], slots: I64, part_ptr: I64, is_plain: NDArray[np.bool_]
) -> Plan:
    kind, src_ptr, src_mid, src, agg_ptr, agg_mid, agg = rows
    may_cut = np.zeros(kind.size + 1, np.bool_)
    may_cut[part_ptr] = True
    may_cut[:-1] |= np.repeat(is_plain, np.diff(part_ptr))
    cuts = may_cut.nonzero()[0]
    return Plan(
        kind=kind,
        src_ptr=src_ptr,
        src_mid=src_mid,
        src=src,
        agg_ptr=agg_ptr,
        agg_mid=agg_mid,
        agg=agg,
        slots=slots,
        part_ptr=part_ptr,
        cuts=cuts,
        cut_work=src_ptr[cuts] + agg_ptr[cuts] + cuts,
    )


def inverse_degree(hag: HAG, dtype: torch.dtype) -> Tensor:
    """One over the in-degree (of isolated destinations, one): the mean's weight."""
    return hag._cached(
        f"inverse_degree {dtype}",
        lambda: hag.in_degree.clamp(min=1).to(dtype).reciprocal(),
    )
