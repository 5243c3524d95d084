"""What an aggregation costs: the paper's model, and one that predicts time."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._derived import pointers
from pyg_hag._jit import jit
from pyg_hag._plan import Plan, forward_plan, is_shared, is_work_shared

if TYPE_CHECKING:
    from pyg_hag.hag import HAG

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

SETS = (2.0**15, 2.0**20, 2.0**23, 2.0**26)
"""Working sets, in bytes per thread, for which a byte's price is measured."""

FRESH = 32 << 20  # bytes above which an allocation is fresh memory (glibc)


def paper_cost(hag: "HAG", alpha: float = 1.0, beta: float = 0.0) -> float:
    r"""The cost function of Jia et al. (KDD 2020, Section 4.1).

    .. math::
        \alpha \cdot \#\text{aggregations} + (\beta - \alpha) \cdot \#\text{nodes}
        + \text{const}

    here without the terms that are the same for all HAGs of a graph: alpha for each
    binary aggregation, and beta for each update of a destination.

    Args:
        hag (HAG): What to price.
        alpha (float): Cost of one binary aggregation.
        beta (float): Cost of one update.
    """
    return alpha * hag.stats.aggregations + beta * hag.num_dst


@dataclass(frozen=True)
class CostModel:
    r"""Predicts the seconds of :func:`pyg_hag.aggregate` on a machine class.

    .. math::
        t = c_\text{call} + \frac{1}{p} \sum_g \left(
            c_\text{row}(W_g) \, \text{rows}_g + c_\text{read} \, \text{reads}_g
            + c_\text{choose} \, \text{reads}_g [\text{aggregates} > 0]
            + F b \, \left( c_\text{byte}(W_g) \, \text{reads}_g
            + c_\text{stream} (\text{sources}_g + \text{destinations}_g)
            + c_\text{write} \, \text{aggregates}_g
            \right) \right) + c_\text{fresh} \, \text{fresh bytes}

    for :math:`F` features of :math:`b` bytes on :math:`p` threads (one, where there
    is little to do). :math:`W_g` is the working set of part g of the rows, the
    sources that rows close to each other choose among and the aggregates alive at
    once: a byte of it, and waiting for the first
    one of a row, costs what it costs in the cache in which it fits, interpolated over
    :data:`SETS`. Every row of the features and of the result streams through memory
    once. Memory for many aggregates is fresh, so that its pages are made on the way;
    that of results is used again.

    Fit one for another machine by `python -m pyg_hag.benchmark cost --fit FILE`.

    Attributes:
        threads (int): Threads with which it was measured.
        call (float): Seconds per call.
        row (tuple[float, ...]): Seconds per non-empty row, for each of :data:`SETS`.
        read (float): Seconds per input of a row, whatever its width.
        choose (float): Seconds more per input where some are aggregates.
        byte (tuple[float, ...]): Seconds per byte read, for each of :data:`SETS`.
        stream (float): Seconds per byte of features and result.
        write (float): Seconds per byte of an aggregate written.
        fresh (float): Seconds per byte of fresh memory.
    """

    threads: int
    call: float
    row: tuple[float, ...]
    read: float
    choose: float
    byte: tuple[float, ...]
    stream: float
    write: float
    fresh: float

    def seconds(self, hag: "HAG", width: int, itemsize: int = 4) -> float:
        """Predicts the time of one sum over a HAG.

        Args:
            hag (HAG): What to aggregate over.
            width (int): Number of features per node.
            itemsize (int): Bytes per feature.
        """
        terms = features(hag, width, itemsize, self.threads)
        return float(terms @ self.vector())

    def ratio(self, hag: "HAG", width: int, itemsize: int = 4) -> float:
        """Predicts the time over a HAG, divided by that over its graph as it is.

        A small graph is priced as one of many in a batch: without the cost of the
        call, and on one thread.
        """
        threads = self.threads if is_shared(hag, width, self.threads) else 1
        ours, theirs = (
            float(terms @ self.vector()) - self.call
            for terms in (
                features(hag, width, itemsize, threads),
                plain_features(hag, width, itemsize, threads),
            )
        )
        return ours / theirs if theirs > 0 else 1.0

    def prices(self, nodes: I64, width: int, itemsize: int = 4) -> tuple[F64, F64]:
        """What a read and a row of an aggregate cost.

        Args:
            nodes: Sources of each group.
            width: Number of features per node.
            itemsize: Bytes per feature.

        Returns:
            Seconds per read and seconds per row, in each group. (Of the latter, the
            work on other rows hides a part.)
        """
        size = width * itemsize
        by_set = _hats(nodes * size)
        read = self.read + size * by_set @ np.array(self.byte)
        row = by_set @ np.array(self.row) + size * self.write
        return read, row

    def vector(self) -> F64:
        """The constants, in the order of :func:`features`."""
        return np.array(
            [
                self.call,
                *self.row,
                self.read,
                self.choose,
                *self.byte,
                self.stream,
                self.write,
                self.fresh,
            ]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the constants to a JSON file."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "CostModel":
        """Reads constants that :meth:`save` has written.

        Raises:
            ValueError: If the file is not one of them.
        """
        names = {field.name for field in fields(CostModel)}
        try:
            values: Any = json.loads(Path(path).read_text())
            if set(values) != names:
                raise ValueError(f"needs the keys {sorted(names)}")
            if len(values["byte"]) != len(SETS) or len(values["row"]) != len(SETS):
                raise ValueError(f"needs {len(SETS)} numbers in 'byte' and in 'row'")
            by_set = {"byte", "row"}
            numbers = [*values["byte"], *values["row"]]
            numbers += [values[n] for n in names - by_set]
            if not all(isinstance(n, int | float) and n >= 0 for n in numbers):
                raise ValueError("needs numbers that are not negative")
        except (ValueError, TypeError) as error:
            raise ValueError(f"'{path}' is no cost model: {error}") from None
        lists = {name: tuple(values[name]) for name in by_set}
        return CostModel(**{**values, **lists})


def features(hag: "HAG", width: int, itemsize: int, threads: int) -> F64:
    """What the constants of a :class:`CostModel` are multiplied with."""
    plan = forward_plan(hag, width, threads)
    tasks = plan.row_tasks(width, threads)
    work = _part_work(hag.num_src, plan.part_ptr, plan.ptr, plan.inputs).T.astype(float)
    tile = int((tasks[:, 3] - tasks[:, 2]).min())
    # Tiles of features walk all rows each; other tasks share them.
    walked = 1.0 if len(tasks) == 1 or tile < width else 1 / threads
    moved = 1.0 if len(tasks) == 1 else 1 / threads
    aggregates = int((plan.kind < 0).sum())
    size = (width * itemsize, tile * itemsize)
    near = _near(work[2], plan) + plan.slots
    return _terms(work, near, hag.num_dst, aggregates, plan.slots, size, walked, moved)


def plain_features(hag: "HAG", width: int, itemsize: int, threads: int) -> F64:
    """The same for the graph that the HAG stands for, without aggregates."""
    a = hag._arrays()
    part_ptr = pointers(a["group_aggs"] + a["group_dsts"])
    _, _, sources = _part_work(hag.num_src, part_ptr, a["src_ptr"], a["src"]).T
    filled = pointers(a["src_count"] + a["agg_count"] > 0)
    rows = np.diff(filled[part_ptr])
    group = np.repeat(np.arange(rows.size), a["group_dsts"])
    edges = np.bincount(group, hag._paths()[0][a["dst"]], rows.size)
    work = np.stack([rows - a["group_aggs"], edges, sources])
    shared = is_work_shared(int(work[1].sum()) + hag.num_dst, width, threads)
    share = 1 / threads if shared else 1.0
    size = width * itemsize
    near = _near(sources, forward_plan(hag, width, threads))
    none = np.zeros_like(rows)
    return _terms(work, near, hag.num_dst, 0, none, (size, size), share, share)


def _near(sources: Any, plan: Plan) -> Any:
    """How many of a part's sources its rows choose among at a time."""
    return np.minimum(sources, plan.reach)


def _terms(
    work: F64,
    near: Any,
    num_dst: int,
    aggregates: int,
    slots: I64,
    sizes: tuple[int, int],
    walked: float,
    moved: float,
) -> F64:
    """The terms of parts with so many rows, reads and sources, in the rows of `work`.

    `near` rows of features are in use at a time, and `slots` aggregates alive, in each
    part; `sizes` are the bytes of a row of features and of a tile of it.
    """
    rows, reads, sources = work
    size, tile = sizes
    by_set = _hats(near * tile)
    scratch = slots.max(initial=0) * tile
    result = num_dst * size
    fresh = scratch * (scratch > FRESH)
    return np.array(
        [
            1.0,
            *(walked * rows @ by_set),
            reads.sum() * walked,
            reads.sum() * walked * (aggregates > 0),
            *(size * moved * reads @ by_set),
            size * moved * sources.sum() + result * moved,
            size * moved * aggregates,
            fresh,
        ]
    )


def _hats(working_set: Any) -> F64:
    """Weights by which the prices for :data:`SETS` are interpolated."""
    marks = np.log2(SETS)
    place = np.log2(np.clip(working_set, SETS[0], SETS[-1]))
    i = np.clip(np.searchsorted(marks, place, side="right") - 1, 0, len(SETS) - 2)
    part = (place - marks[i]) / (marks[i + 1] - marks[i])
    out = np.zeros((place.size, len(SETS)))
    rows = np.arange(place.size)
    out[rows, i] = 1 - part
    out[rows, i + 1] += part
    return out


@jit
def _part_work(num_src: int, part_ptr: I64, ptr: I64, inputs: Any) -> I64:
    """Per part: non-empty rows, reads, distinct sources (aggregates are negative)."""
    seen = np.full(num_src, -1, np.int64)
    out = np.zeros((part_ptr.size - 1, 3), np.int64)
    for p in range(part_ptr.size - 1):
        for r in range(part_ptr[p], part_ptr[p + 1]):
            out[p, 0] += ptr[r + 1] > ptr[r]
        begin, end = ptr[part_ptr[p]], ptr[part_ptr[p + 1]]
        out[p, 1] = end - begin
        for u in inputs[begin:end]:
            if u >= 0:
                out[p, 2] += seen[u] != p
                seen[u] = p
    return out


DEFAULT_COST = CostModel(
    threads=2,
    call=8e-6,
    row=(1.8e-9, 3.3e-9, 1.3e-9, 14.0e-9),
    read=0.17e-9,
    choose=0.33e-9,
    byte=(2.4e-12, 6.9e-12, 7.5e-12, 18.1e-12),
    stream=12.6e-12,
    write=3.4e-12,
    fresh=83e-12,
)
"""Measured on two cores of a server (x86-64, AVX-512, 1 MiB of L2 cache each)."""
