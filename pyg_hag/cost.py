"""What an aggregation costs: the paper's model, and one that predicts time."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

if TYPE_CHECKING:
    from pyg_hag.hag import HAG

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

SETS = (2.0**15, 2.0**20, 2.0**23, 2.0**26)
"""Working sets, in bytes per thread, for which a byte's price is measured."""

LEAST_WORK = 1 << 18  # elements read from which a second thread helps


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
            c_\text{row} \, \text{rows}_g + c_\text{read} \, \text{reads}_g
            + F b \, \left( c_\text{byte}(W_g) \, \text{reads}_g
            + c_\text{stream} (\text{sources}_g + \text{destinations}_g)
            \right) \right)

    for :math:`F` features of :math:`b` bytes on :math:`p` threads (one, where there
    is little to do). :math:`W_g` is the working set of a group, its sources and
    aggregates: a byte of it costs what it costs in the cache in which it fits,
    interpolated over :data:`SETS`. Every row of the features and of the result
    streams through memory once.

    Fit one for another machine by `python -m pyg_hag.benchmark cost --fit FILE`.

    Attributes:
        threads (int): Threads with which it was measured.
        call (float): Seconds per call.
        row (float): Seconds per non-empty row.
        read (float): Seconds per input of a row, whatever its width.
        byte (tuple[float, ...]): Seconds per byte read, for each of :data:`SETS`.
        stream (float): Seconds per byte of features and result.
    """

    threads: int
    call: float
    row: float
    read: float
    byte: tuple[float, ...]
    stream: float

    def seconds(self, hag: "HAG", width: int, itemsize: int = 4) -> float:
        """Predicts the time of one sum over a HAG.

        Args:
            hag (HAG): What to aggregate over.
            width (int): Number of features per node.
            itemsize (int): Bytes per feature.
        """
        terms = features(hag, width, itemsize, self.threads)
        return float(terms @ self.vector())

    def prices(self, nodes: I64, width: int, itemsize: int = 4) -> tuple[F64, float]:
        """What a read and a row of an aggregate cost.

        Args:
            nodes: Sources of each group.
            width: Number of features per node.
            itemsize: Bytes per feature.

        Returns:
            Seconds per read in each group, and seconds per row with its result.
        """
        size = width * itemsize
        by_set = _hats(nodes * size) @ np.array(self.byte)
        return self.read + size * by_set, self.row + size * self.byte[0]

    def vector(self) -> F64:
        """The constants, in the order of :func:`features`."""
        return np.array([self.call, self.row, self.read, *self.byte, self.stream])

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
            if set(values) != names or len(values["byte"]) != len(SETS):
                raise ValueError(f"needs the keys {sorted(names)}")
            numbers = [*values["byte"], *(values[n] for n in names - {"byte"})]
            if not all(isinstance(n, int | float) and n >= 0 for n in numbers):
                raise ValueError("needs numbers that are not negative")
        except (ValueError, TypeError) as error:
            raise ValueError(f"'{path}' is no cost model: {error}") from None
        return CostModel(**{**values, "byte": tuple(values["byte"])})


def features(hag: "HAG", width: int, itemsize: int, threads: int) -> F64:
    """What the constants of a :class:`CostModel` are multiplied with."""
    a = hag._arrays()
    table = hag._cached(
        "group_work",
        lambda: _group_work(
            hag.num_src,
            a["src_ptr"],
            a["src"],
            a["agg_ptr"],
            a["group_aggs"],
            a["group_dsts"],
        ),
    )
    rows, reads, sources, aggregates, results = table.astype(np.float64).T
    size = width * itemsize
    work = (rows + reads).sum() * width
    share = 1.0 if work < LEAST_WORK else 1 / threads
    size = width * itemsize
    by_set = _hats((sources + aggregates) * size)
    return np.array(
        [
            1.0,
            rows.sum() * share,
            reads.sum() * share,
            *(size * share * reads @ by_set),
            size * share * (sources + results).sum(),
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
def _group_work(
    num_src: int,
    src_ptr: I64,
    src: I64,
    agg_ptr: I64,
    group_aggs: I64,
    group_dsts: I64,
) -> I64:
    """Per group: non-empty rows, reads, distinct sources, aggregates, destinations."""
    seen = np.zeros(num_src, np.bool_)
    out = np.zeros((group_aggs.size, 5), np.int64)
    r = 0
    for g in range(group_aggs.size):
        first = r
        r += group_aggs[g] + group_dsts[g]
        for q in range(first, r):
            inputs = src_ptr[q + 1] - src_ptr[q] + agg_ptr[q + 1] - agg_ptr[q]
            out[g, 0] += inputs > 0
            out[g, 1] += inputs
            for e in range(src_ptr[q], src_ptr[q + 1]):
                out[g, 2] += not seen[src[e]]
                seen[src[e]] = True
        out[g, 3] = group_aggs[g]
        out[g, 4] = group_dsts[g]
    return out


DEFAULT_COST = CostModel(
    threads=2,
    call=25e-6,
    row=15e-9,
    read=1e-9,
    byte=(0.02e-9, 0.03e-9, 0.06e-9, 0.15e-9),
    stream=0.1e-9,
)
"""Measured on two cores of a server (x86-64, AVX-512, 1 MiB of L2 cache each)."""
