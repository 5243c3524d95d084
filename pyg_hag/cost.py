"""Cost models of an aggregation: that of the paper, and one that predicts time."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.plan.cpu import (
    CACHE_LINE,
    MAX_VECTORS,
    Plan,
    forward_plan,
    is_narrow,
    max_tile,
    pays_threads,
    uses_threads,
)
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import F64, I64, pointers
from pyg_hag.utils.files import write_text

SETS = (2.0**15, 2.0**20, 2.0**23, 2.0**26)
"""Working sets, in bytes per thread, for which the cost of a byte is measured."""

_SHARE_ALIVE = 0.3  # of the aggregates of a large graph, at once


def paper_cost(hag: HAG, alpha: float = 1.0, beta: float = 0.0) -> float:
    r"""The cost function of Jia et al. (KDD 2020, Section 4.1).

    .. math::
        \alpha \cdot \#\text{aggregations} + (\beta - \alpha) \cdot \#\text{nodes}
        + \text{const}

    here without the terms that are the same for all HAGs of a graph: alpha for each
    binary aggregation, and beta for each update of a destination.

    Args:
        hag (HAG): The HAG.
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
            \right) \right)

    for :math:`F` features of :math:`b` bytes on :math:`p` threads (one thread where
    there is little to do); each of the tiles into which the features are cut visits
    all rows. :math:`W_g` is the working set of a tile and part g of the rows: the
    sources that neighbouring rows read, and the aggregates alive at once. The costs of
    a byte and of a row, which waits for its first byte, are those of the cache into
    which the working set fits, interpolated over :data:`SETS`. Every row of the
    features and of the result streams through memory once. Rows of a plain graph of
    few features, which are sorted by length, cost nothing but their reads.

    `python -m pyg_hag.benchmark cost --fit FILE` fits a model for another machine.

    Attributes:
        threads (int): Number of threads with which it was measured.
        call (float): Seconds per call.
        row (tuple[float, ...]): Seconds per non-empty row, for each of :data:`SETS`.
        read (float): Seconds per input of a row, for any number of features.
        choose (float): Additional seconds per input where some are aggregates.
        byte (tuple[float, ...]): Seconds per byte read, for each of :data:`SETS`.
        stream (float): Seconds per byte of features and result.
        write (float): Seconds per byte of an aggregate written.
    """

    threads: int
    call: float
    row: tuple[float, ...]
    read: float
    choose: float
    byte: tuple[float, ...]
    stream: float
    write: float

    def seconds(self, hag: HAG, width: int, itemsize: int = 4) -> float:
        """Predicts the time of one sum over a HAG.

        Args:
            hag (HAG): The HAG.
            width (int): Number of features per node.
            itemsize (int): Bytes per feature.
        """
        terms = features(hag, width, itemsize, self.threads)
        return float(terms @ self.vector())

    def ratio(self, hag: HAG, width: int, itemsize: int = 4) -> float:
        """Predicts the time over a HAG, divided by that over the plain graph.

        A small graph is treated as one of many in a batch: without the cost of the
        call, and on one thread.
        """
        threads = self.threads if uses_threads(hag, width, self.threads) else 1
        ours, theirs = (
            float(terms @ self.vector()) - self.call
            for terms in (
                features(hag, width, itemsize, threads),
                plain_features(hag, width, itemsize, threads),
            )
        )
        return ours / theirs if theirs > 0 else 1.0

    def ratio_of_counts(
        self, size: tuple[int, int], counts: tuple[int, float, float], width: int
    ) -> float:
        """Estimates the ratio of :meth:`ratio` where there is no HAG yet.

        All sources are taken to be one working set, to which a third of the aggregates
        is added, the part that is usually in use.

        Args:
            size: Number of sources and destinations.
            counts: Number of edges, and of reads and aggregates of the HAG.
            width: Number of features per node.
        """
        num_src, num_dst = size
        edges, reads, aggregates = counts
        row_size = 4 * width
        alive = np.array([0, _SHARE_ALIVE * aggregates])
        vectors = [max_tile(n, MAX_VECTORS) for n in (alive * CACHE_LINE).tolist()]
        tile, passes = _tiles(row_size, np.array(vectors))
        by_set = _hats((num_src + alive) * tile)
        row = passes * (by_set @ np.array(self.row))
        read = passes * (self.read + np.array([0, self.choose]))
        read += row_size * by_set @ np.array(self.byte)
        ends = row_size * self.stream * (num_src + num_dst)
        rows = 0 if is_narrow(width) else num_dst
        theirs = rows * row[0] + edges * read[0] + ends
        ours = (num_dst + aggregates) * row[1] + reads * read[1] + ends
        ours += row_size * aggregates * self.write
        return float(ours / theirs) if theirs > 0 else 1.0

    def prices(self, nodes: I64, width: int, itemsize: int = 4) -> tuple[F64, F64]:
        """The costs of a read and of the row of an aggregate.

        Args:
            nodes: Number of sources of each group, `[num_groups]`.
            width: Number of features per node.
            itemsize: Bytes per feature.

        Returns:
            Seconds per read and seconds per row in each group, `[num_groups]` both.
            (Part of the latter is hidden by the work on other rows.)
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
            ]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the constants to a JSON file."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "CostModel":
        """Reads the constants from a file of :meth:`save`.

        Raises:
            ValueError: If the file is not a cost model.
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
            raise ValueError(f"'{path}' is not a cost model: {error}") from None
        lists = {name: tuple(values[name]) for name in by_set}
        return CostModel(**{**values, **lists})


def features(hag: HAG, width: int, itemsize: int, threads: int) -> F64:
    """The terms with which the constants of a :class:`CostModel` are multiplied."""
    computed = max(4, itemsize)
    plan = forward_plan(hag, width, threads, computed)
    tasks = plan.row_tasks(width, threads, computed)
    work = _part_work(hag.num_src, plan.part_ptr, plan.ptr, plan.inputs).T.astype(float)
    if hag.num_aggregates == 0 and not hag.is_signed and is_narrow(width, computed):
        work[0] = 0
    is_shared = len(tasks) > 1
    moved = 1 / threads if is_shared else 1.0
    cut = np.full(plan.slots.size, width)  # features of the tasks of each part
    for first, last, f0, f1 in tasks[tasks[:, 3] - tasks[:, 2] < width].tolist():
        i, j = np.searchsorted(plan.part_ptr, (first, last))
        cut[i:j] = np.minimum(cut[i:j], f1 - f0)
    slot_size = plan.num_slots * CACHE_LINE * (threads if is_shared else 1)
    tile, passes = _tiles(cut * itemsize, max_tile(slot_size, MAX_VECTORS))
    # Each cut of features visits all rows; other tasks share them.
    visited = passes * np.where(cut < width, 1.0, moved)
    aggregates = int((plan.target < 0).sum())
    near = _near(work[2], plan) + plan.slots
    sizes = width * itemsize, tile
    return _terms(work, near, hag.num_dst, aggregates, sizes, visited, moved)


def plain_features(hag: HAG, width: int, itemsize: int, threads: int) -> F64:
    """The same for the plain graph of the HAG."""
    flat, src_ptr = hag.host.flat, hag.host.rows.src_ptr
    part_ptr = pointers(flat.group_aggs + flat.group_dsts)
    _, _, sources = _part_work(hag.num_src, part_ptr, src_ptr, flat.src).T
    filled = pointers(flat.src_count + flat.agg_count > 0)
    rows = np.diff(filled[part_ptr]) - flat.group_aggs
    if is_narrow(width, max(4, itemsize)):
        rows[:] = 0
    group = np.repeat(np.arange(rows.size), flat.group_dsts)
    edges = np.bincount(group, hag.host.paths.degree[flat.dst], rows.size)
    work = np.stack([rows, edges, sources])
    parallel = pays_threads(int(work[1].sum()) + hag.num_dst, width, threads)
    share = 1 / threads if parallel else 1.0
    size = width * itemsize
    tile, passes = _tiles(np.full(rows.size, size), MAX_VECTORS)
    near = _near(sources, forward_plan(hag, width, threads))
    return _terms(work, near, hag.num_dst, 0, (size, tile), share * passes, share)


def _tiles(sizes: Any, vectors: Any) -> tuple[Any, Any]:
    """Bytes of a tile, and the number of tiles, where one has up to `vectors`."""
    passes = np.maximum(1, -(-sizes // (CACHE_LINE * vectors)))
    return sizes / passes, passes


def _near(sources: Any, plan: Plan) -> Any:
    """How many of its sources the rows of a part read at about the same time."""
    return np.minimum(sources, plan.reach)


def _terms(
    work: F64,
    near: Any,
    num_dst: int,
    aggregates: int,
    sizes: tuple[int, Any],
    visited: Any,
    moved: float,
) -> F64:
    """The terms, in the order of :meth:`CostModel.vector`.

    Args:
        work: Number of rows, reads and sources of each part, `[3, num_parts]`.
        near: Rows of features in use at a time in each part, `[num_parts]`.
        num_dst: Number of destinations.
        aggregates: Number of aggregates.
        sizes: Bytes of a row of features, and of a tile of it in each part.
        visited: How often a thread visits the rows of each part, `[num_parts]`.
        moved: The share of the bytes that a thread moves.
    """
    rows, reads, sources = work
    size, tile = sizes
    by_set = _hats(near * tile)
    result = num_dst * size
    return np.array(
        [
            1.0,
            *(visited * rows @ by_set),
            visited @ reads,
            visited @ reads * (aggregates > 0),
            *(size * moved * reads @ by_set),
            size * moved * sources.sum() + result * moved,
            size * moved * aggregates,
        ]
    )


def _hats(working_set: Any) -> F64:
    """Weights that interpolate costs over :data:`SETS`, `[num_parts, len(SETS)]`."""
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
    """Non-empty rows, reads and distinct sources of each part, `[num_parts, 3]`.

    Part p has rows `part_ptr[p]` to `part_ptr[p + 1]` (`[num_parts + 1]`), row r reads
    `inputs[ptr[r] : ptr[r + 1]]` (`[num_rows + 1]`); aggregates are negative.
    """
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
    call=4e-6,
    row=(2.1e-9, 3.0e-9, 1.0e-9, 7.0e-9),
    read=0.24e-9,
    choose=0.39e-9,
    byte=(2.8e-12, 8.0e-12, 15.5e-12, 27.1e-12),
    stream=24.3e-12,
    write=3.7e-12,
)
"""The mean of two servers, measured on two cores of each (x86-64, AVX-512): one with
1 MiB of L2 cache per core, and one with 2 MiB, whose last cache takes three times as
long. Decisions for one by the constants of the other cost up to 4 % on average, by
their mean 2 to 3 %."""
