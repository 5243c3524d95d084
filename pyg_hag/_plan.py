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
from pyg_hag._schedule import joined_rows, schedule
from pyg_hag.hag import HAG

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

LEAST_WORK = 1 << 17  # elements read; below, another thread costs more than it saves
CHUNKS_PER_THREAD = 4
_WINDOW, _WINDOWS = 1024, 17  # inputs that are looked at for their reach
LANES = 16  # features of one cache line in float32
AHEAD = 32  # source inputs that kernels look ahead
MOST_REPEATED = 1.5  # reads when parts repeat aggregates, over those when none does


@dataclass(frozen=True, eq=False)
class Plan:
    """The arrays that a kernel takes, made once per HAG.

    Attributes:
        kind: Per row: its destination, or -1 - slot for an aggregate, whose values
            live in that slot of the scratch.
        ptr: Row r reads `inputs[ptr[r] : ptr[r + 1]]`.
        mid: Row r subtracts its inputs from `mid[r]` on. Empty where no row subtracts.
        inputs: Sources, and -1 - slot for aggregates; behind them lie :data:`AHEAD`
            numbers that kernels may read.
        slots: How many slots each part needs.
        part_ptr: First row of each part; no part reads another's aggregates.
        cuts: Rows before which the work may be cut: the start of a part, or any
            row of a part without aggregates.
        cut_work: Inputs and rows before each cut.
    """

    kind: I32
    ptr: I64
    mid: I64
    inputs: I32
    slots: I64
    part_ptr: I64
    cuts: I64
    cut_work: I64

    @cached_property
    def num_slots(self) -> int:
        """Most slots that any part needs."""
        return int(self.slots.max(initial=0))

    @cached_property
    def addresses(self) -> list[int]:
        """Where the arrays that kernels read start, in the order of the fields."""
        arrays = self.kind, self.ptr, self.mid, self.inputs, self.part_ptr
        return [array.ctypes.data for array in arrays]

    @cached_property
    def reach(self) -> int:
        """About how many sources a row and those close to it choose among."""
        return reach(self.inputs)

    def row_tasks(self, width: int, threads: int) -> I64:
        """Cuts rows and features into `(first row, last row, f0, f1)`.

        Rows are cut between parts. A part that is too large for one thread is cut by
        features, each thread doing all of its rows: no thread waits for another.
        """
        return _tasks(self.cuts, self.cut_work, width, threads)

    def part_tasks(self, width: int, threads: int) -> I64:
        """Cuts parts and features into `(first part, last part, f0, f1)`."""
        work = self.ptr[self.part_ptr] + self.part_ptr
        return _tasks(np.arange(self.part_ptr.size), work, width, threads)


def reach(inputs: I32) -> int:
    """The middle 80 % of some windows of inputs, as a range of sources.

    Negative inputs are left out.
    """
    size = min(_WINDOW, inputs.size)
    if size == 0:
        return 0
    starts = np.linspace(0, inputs.size - size, _WINDOWS).astype(np.int64)
    spans = []
    for window in inputs[starts[:, None] + np.arange(size)]:
        sources = np.sort(window[window >= 0])
        if sources.size > 0:
            outer = sources.size // 10
            spans.append(int(sources[-1 - outer]) - int(sources[outer]))
    return int(np.median(spans) / 0.8) + 1 if spans else 0


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
        if cut.inputs.size > MOST_REPEATED * whole.inputs.size:
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
        AHEAD,
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
    kind, ptr, inputs = joined_rows(
        a["kinds"], a["src_ptr"], a["src"], a["agg_ptr"], a["agg"], group_aggs,
        group_dsts, AHEAD,
    )  # fmt: skip
    part_ptr = pointers(group_aggs + group_dsts)
    none = np.empty(0, np.int64)  # what walks back cannot subtract
    return _plan((kind, ptr, none, inputs), group_aggs, part_ptr, group_aggs == 0)


def _plan(
    rows: tuple[Any, ...], slots: I64, part_ptr: I64, is_plain: NDArray[np.bool_]
) -> Plan:
    kind, ptr, mid, inputs = rows
    may_cut = np.zeros(kind.size + 1, np.bool_)
    may_cut[part_ptr] = True
    may_cut[:-1] |= np.repeat(is_plain, np.diff(part_ptr))
    cuts = may_cut.nonzero()[0]
    work = ptr[cuts] + cuts
    return Plan(kind, ptr, mid, inputs, slots, part_ptr, cuts, work)


def rows_plan(rows: int) -> Plan:
    """The plan for rows that have no inputs."""
    none = np.empty(0, np.int64)
    narrow = np.empty(0, np.int32)
    cuts = np.arange(rows + 1)
    return Plan(narrow, none, none, narrow, none, none, cuts, cuts)


def inverse_degree(hag: HAG, dtype: torch.dtype) -> Tensor:
    """One over the in-degree (of isolated destinations, one): the mean's weight."""
    return hag._cached(
        f"inverse_degree {dtype}",
        lambda: hag.in_degree.clamp(min=1).to(dtype).reciprocal(),
    )


def symmetric_norm(hag: HAG, dtype: torch.dtype) -> Tensor:
    """One over the root of the in-degree; 0 for isolated destinations."""
    return hag._cached(
        f"symmetric_norm {dtype}",
        lambda: inverse_degree(hag, dtype).sqrt().masked_fill(hag.in_degree == 0, 0),
    )
