"""How the CPU kernels walk a HAG: its rows in 32 bits, and cuts between threads."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag.hag import HAG, pointers

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

LEAST_WORK = 1 << 18  # elements read; below, another thread costs more than it saves
CHUNKS_PER_THREAD = 4
LANES = 16  # features of one cache line in float32


@dataclass(frozen=True, eq=False)
class Plan:
    """The arrays that a kernel takes, made once per HAG.

    Attributes:
        kind: Per row: its destination, or -1 - slot for an aggregate, whose values
            live in that slot of the scratch while its group runs.
        src_ptr: Row r reads the sources `src[src_ptr[r] : src_ptr[r + 1]]`.
        src: Source inputs.
        agg_ptr: Row r reads the slots `agg[agg_ptr[r] : agg_ptr[r + 1]]`.
        agg: Slots of the aggregate inputs.
        num_slots: Most aggregates of any group.
        group_ptr: First row of each group.
        cuts: Rows before which the work may be cut: the start of a group, or any
            row of a group without aggregates.
        cut_work: Inputs and rows before each cut.
    """

    kind: I32
    src_ptr: I64
    src: I32
    agg_ptr: I64
    agg: I32
    num_slots: int
    group_ptr: I64
    cuts: I64
    cut_work: I64

    def rows(self) -> tuple[Any, ...]:
        """The arguments that every kernel takes."""
        arrays = self.kind, self.src_ptr, self.src, self.agg_ptr, self.agg
        return *arrays, self.group_ptr, self.num_slots

    def addresses(self) -> list[int]:
        """The same as numbers: the address and size of each array, and the slots."""
        *arrays, num_slots = self.rows()
        return [n for a in arrays for n in (a.ctypes.data, a.size)] + [num_slots]

    def row_tasks(self, width: int, threads: int) -> I64:
        """Cuts rows and features into `(first row, last row, f0, f1)`.

        Rows are cut between groups. A group that is too large for one thread is cut
        by features, each thread doing all of its rows: no thread waits for another.
        """
        return _tasks(self.cuts, self.cut_work, width, threads)

    def group_tasks(self, width: int, threads: int) -> I64:
        """Cuts groups and features into `(first group, last group, f0, f1)`."""
        work = self.src_ptr[self.group_ptr] + self.agg_ptr[self.group_ptr]
        groups = np.arange(self.group_ptr.size)
        return _tasks(groups, work + self.group_ptr, width, threads)


def _tasks(cuts: I64, work: I64, width: int, threads: int) -> I64:
    total = int(work[-1])
    if threads == 1 or total * width < LEAST_WORK or cuts.size < 2:
        return np.array([(cuts[0], cuts[-1], 0, width)], np.int64)
    share = total / (CHUNKS_PER_THREAD * threads)
    targets = np.arange(1, CHUNKS_PER_THREAD * threads) * share
    places = np.unique([0, *np.searchsorted(work, targets), cuts.size - 1])
    tasks = []
    for i, j in pairwise(places):
        tiles = [0, width]
        if work[j] - work[i] > 2 * share:
            step = -(-width // (threads * LANES)) * LANES
            tiles = [*range(0, width, step), width]
        for f0, f1 in pairwise(tiles):
            tasks.append((cuts[i], cuts[j], f0, f1))
    return np.array(tasks, np.int64)


def plan_of(hag: HAG) -> Plan:
    """The HAG's plan, made on first use."""
    return hag._cached("plan", lambda: _make(hag))


def _make(hag: HAG) -> Plan:
    a = hag._arrays()
    group_aggs, group_dsts = a["group_aggs"], a["group_dsts"]
    first = np.repeat(np.cumsum(group_aggs) - group_aggs, group_aggs)
    kind = a["kinds"].astype(np.int32)
    aggregates = kind < 0
    kind[aggregates] += first.astype(np.int32)
    group_ptr = pointers(group_aggs + group_dsts)
    may_cut = np.zeros(kind.size + 1, np.bool_)
    may_cut[group_ptr] = True
    may_cut[:-1] |= np.repeat(group_aggs == 0, group_aggs + group_dsts)
    cuts = may_cut.nonzero()[0]
    return Plan(
        kind=kind,
        src_ptr=a["src_ptr"],
        src=a["src"].astype(np.int32),
        agg_ptr=a["agg_ptr"],
        agg=(a["agg"] - first[a["agg"]]).astype(np.int32),
        num_slots=int(group_aggs.max(initial=0)),
        group_ptr=group_ptr,
        cuts=cuts,
        cut_work=a["src_ptr"][cuts] + a["agg_ptr"][cuts] + cuts,
    )


def inverse_degree(hag: HAG, dtype: torch.dtype) -> Tensor:
    """One over the in-degree (of isolated destinations, one): the mean's weight."""
    return hag._cached(
        f"inverse_degree {dtype}",
        lambda: hag.in_degree.clamp(min=1).to(dtype).reciprocal(),
    )
