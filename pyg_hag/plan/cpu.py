"""How the CPU kernels walk a HAG: its rows in 32 bits, and the tasks of threads."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.plan.cpu_lengths import rows_by_length
from pyg_hag.plan.cpu_schedule import grouped_rows, schedule
from pyg_hag.utils.arrays import I32, I64, Bool, pointers

MIN_WORK = 1 << 17
"""The least work, times features, for which a call uses several threads."""
CHUNKS_PER_THREAD = 4
CACHE_LINE = 64
AHEAD = 32
"""The largest number of inputs that kernels prefetch ahead."""
MIN_LINES = 4
"""The least cache lines of features for each thread with which parts stay whole."""
MAX_NARROW = 2 * CACHE_LINE
"""Bytes of features up to which rows of one length are put side by side."""
MAX_VECTORS = 16
"""Vectors of the widest tile of a sum."""
MIN_TILE = 4
"""Vectors of a tile that is not made narrower for what is in cache."""
MAX_SCRATCH_BYTES = 5 << 20
"""What aggregates that are alive may take of the caches, on all threads."""
_WINDOW, _NUM_WINDOWS = 1024, 17  # of the inputs from which `reach` is estimated


@dataclass(frozen=True, eq=False)
class Plan:
    """The arrays that a kernel takes, made once per HAG.

    Attributes:
        target: The destination of each row, or `-1 - slot` of an aggregate, which is
            kept in that slot of the scratch, `[num_rows]`.
        ptr: Row r reads `inputs[ptr[r] : ptr[r + 1]]`, `[num_rows + 1]`.
        mid: Row r subtracts its inputs from `mid[r]` on, `[num_rows]`; empty if no row
            subtracts.
        inputs: Sources, and `-1 - slot` for aggregates; they are followed by
            :data:`AHEAD` numbers that kernels may read.
        slots: How many slots each part needs, `[num_parts]`.
        part_ptr: The first row of each part, `[num_parts + 1]`; no part reads
            aggregates of another.
        cuts: Rows before which the work may be cut: the first of a part, and every row
            of a part without aggregates.
        cut_work: Inputs and rows before each cut.
    """

    target: I32
    ptr: I64
    mid: I64
    inputs: I32
    slots: I64
    part_ptr: I64
    cuts: I64
    cut_work: I64

    @cached_property
    def num_slots(self) -> int:
        """The largest number of slots that a part needs."""
        return int(self.slots.max(initial=0))

    @cached_property
    def addresses(self) -> list[int]:
        """The addresses of the arrays that kernels read, in the order of the fields."""
        arrays = self.target, self.ptr, self.mid, self.inputs, self.part_ptr
        return [array.ctypes.data for array in arrays]

    @cached_property
    def reach(self) -> int:
        """About how many sources lie between those that neighbouring rows read."""
        return reach(self.inputs)

    def row_tasks(self, width: int, threads: int, itemsize: int = 4) -> I64:
        """Cuts rows and features into tasks.

        Rows are cut between parts. A part that is too large for one thread is cut by
        features, so that each thread computes all of its rows: no thread waits for
        another.

        Args:
            width: Number of features.
            threads: Number of threads.
            itemsize: Bytes of a feature as it is computed.

        Returns:
            First and last row, and first and last feature, `[num_tasks, 4]`; the last
            ones are exclusive.
        """
        return _tasks(self.cuts, self.cut_work, width, threads, itemsize)

    def part_tasks(self, width: int, threads: int) -> I64:
        """The same as :meth:`row_tasks` with parts instead of rows."""
        work = self.ptr[self.part_ptr] + self.part_ptr
        return _tasks(np.arange(self.part_ptr.size), work, width, threads, 4)


def max_tile(slot_size: float, max_vectors: int) -> int:
    """The largest number of vectors in a tile with which aggregates stay in cache.

    Every tile of features visits all rows again, which takes less than to wait for
    memory: with tiles half as wide, the aggregates that are alive take half the room.

    Args:
        slot_size: Bytes of all slots of all threads, for each vector of a tile.
        max_vectors: The largest number of vectors that the kernel knows.
    """
    vectors = max_vectors
    while vectors > MIN_TILE and vectors * slot_size > MAX_SCRATCH_BYTES:
        vectors = max(MIN_TILE, vectors // 2)
    return vectors


def reach(inputs: I32) -> int:
    """The range of sources that close inputs span.

    The median over some windows of inputs, each without the lowest and the highest
    tenth. Negative inputs, which are aggregates, do not count.
    """
    size = min(_WINDOW, inputs.size)
    if size == 0:
        return 0
    starts = np.linspace(0, inputs.size - size, _NUM_WINDOWS).astype(np.int64)
    spans = []
    for window in inputs[starts[:, None] + np.arange(size)]:
        sources = np.sort(window[window >= 0])
        if sources.size > 0:
            tenth = sources.size // 10
            spans.append(int(sources[-1 - tenth]) - int(sources[tenth]))
    return int(np.median(spans) / 0.8) + 1 if spans else 0


def _tasks(cuts: I64, work: I64, width: int, threads: int, itemsize: int) -> I64:
    total = int(work[-1])
    if not pays_threads(total, width, threads) or cuts.size < 2:
        return np.array([(cuts[0], cuts[-1], 0, width)], np.int64)
    share = total / (CHUNKS_PER_THREAD * threads)
    targets = np.arange(1, CHUNKS_PER_THREAD * threads) * share
    places = np.unique([0, *np.searchsorted(work, targets), cuts.size - 1])
    lanes = CACHE_LINE // itemsize
    tasks = []
    for i, j in pairwise(places):
        tiles = [0, width]
        if work[j] - work[i] > 1.25 * total / threads:
            step = -(-width // (threads * lanes)) * lanes
            tiles = [*range(0, width, step), width]
        for f0, f1 in pairwise(tiles):
            tasks.append((cuts[i], cuts[j], f0, f1))
    return np.array(tasks, np.int64)


def pays_threads(work: int, width: int, threads: int) -> bool:
    """Whether work (inputs and rows) on `width` features is split between threads."""
    return threads > 1 and work * width >= MIN_WORK


def uses_threads(hag: HAG, width: int, threads: int) -> bool:
    """Whether several threads take part in one call of a reduction."""
    return pays_threads(hag.src.numel() + hag.agg.numel(), width, threads)


def forward_plan(hag: HAG, width: int, threads: int, itemsize: int = 4) -> Plan:
    """The plan for reductions: each aggregate just before the first row that reads it.

    A group that is too large for one thread is cut into parts, which repeat aggregates
    that several need, or left whole, so that threads share its features instead of its
    rows: each visits all rows, but of half the features more stay in its cache. The
    fewer features a visit computes, the more may be repeated before that is better.

    Args:
        hag: The graph.
        width: Number of features.
        threads: Number of threads.
        itemsize: Bytes of a feature as it is computed.
    """
    if hag.num_aggregates == 0 and not hag.is_signed:
        return _plan_by_length(hag) if is_narrow(width, itemsize) else group_plan(hag)
    whole = _scheduled(hag, 1)
    if not pays_threads(int(whole.cut_work[-1]), width, threads):
        return whole
    lines = width * itemsize / (threads * CACHE_LINE)
    if lines >= MIN_LINES:
        return whole
    cut = _scheduled(hag, threads)
    repeated = cut.inputs.size / max(1, whole.inputs.size)
    return whole if lines >= 1 and repeated > 1 + 0.5 / lines else cut


@once_per_hag
def _scheduled(hag: HAG, threads: int) -> Plan:
    rows, flat = hag.host.rows, hag.host.flat
    ends = pointers(flat.group_aggs + flat.group_dsts)
    work = np.diff(rows.src_ptr[ends] + rows.agg_ptr[ends] + ends)
    large = (flat.group_aggs > 0) & (work > work.sum() / (2 * threads))
    parts = np.where(large, threads, 1)
    groups = flat.group_aggs, flat.group_dsts
    order = schedule(rows, *groups, parts, hag.is_signed, AHEAD)
    return _plan(order[:4], order.part_slots, order.part_ptr, order.part_aggs == 0)


def is_narrow(width: int, itemsize: int = 4) -> bool:
    """Whether the rows of a plain graph take so little that their lengths matter."""
    return width * itemsize <= MAX_NARROW


@once_per_hag
def _plan_by_length(hag: HAG) -> Plan:
    target, ptr, inputs = rows_by_length(hag.host.rows, AHEAD)
    none, slots = np.empty(0, np.int64), np.zeros(1, np.int64)
    part_ptr = np.array([0, target.size])
    return _plan((target, ptr, none, inputs), slots, part_ptr, slots == 0)


@once_per_hag
def group_plan(hag: HAG) -> Plan:
    """The plan for gradients: whole groups, each aggregate in a slot of its own.

    It is also the plan of a plain graph for many features: nothing is to schedule.
    """
    group_aggs, group_dsts = hag.host.flat.group_aggs, hag.host.flat.group_dsts
    target, ptr, inputs = grouped_rows(hag.host.rows, group_aggs, group_dsts, AHEAD)
    part_ptr = pointers(group_aggs + group_dsts)
    none = np.empty(0, np.int64)  # extremes are not subtracted
    return _plan((target, ptr, none, inputs), group_aggs, part_ptr, group_aggs == 0)


def _plan(
    rows: tuple[I32, I64, I64, I32], slots: I64, part_ptr: I64, is_plain: Bool
) -> Plan:
    target, ptr, mid, inputs = rows
    may_cut = np.zeros(target.size + 1, np.bool_)
    may_cut[part_ptr] = True
    may_cut[:-1] |= np.repeat(is_plain, np.diff(part_ptr))
    cuts = may_cut.nonzero()[0]
    work = ptr[cuts] + cuts
    return Plan(target, ptr, mid, inputs, slots, part_ptr, cuts, work)


def rows_plan(rows: int) -> Plan:
    """The plan for `rows` rows without inputs, of kernels that read none."""
    none = np.empty(0, np.int64)
    narrow = np.empty(0, np.int32)
    cuts = np.arange(rows + 1)
    return Plan(narrow, none, none, narrow, none, none, cuts, cuts)
