"""The HAG of a product of factors: the best of what the factors and a search give."""

from collections.abc import Sequence

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.decision import Decision, Reason
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.hag.plain import flat_of_rows
from pyg_hag.search.memory import Memory, TooLittleMemory
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.product.chain import chain
from pyg_hag.search.product.factors import Factor, fold
from pyg_hag.search.product.quotient import Quotient, to_quotient
from pyg_hag.search.product.quotient_rules import split_rules
from pyg_hag.search.product.refine import refine, to_rows
from pyg_hag.search.progress import STOP
from pyg_hag.search.rows import RowSearch
from pyg_hag.search.select import (
    MAX_RATIO,
    SEARCH_SECONDS,
    Found,
    count_aggregations,
    decide_at_once,
    fastest,
    fewest,
)
from pyg_hag.utils.arrays import I32, I64

_PER_ENTRY = 300  # bytes, of a factor; measured on large products
_CHECKED = 1 << 24  # paths, of a cover; with more, its edges are not listed as they are


def find_product(
    factors: Sequence[Factor],
    options: SearchOptions,
    weighted: bool,
    is_max: bool,
    self_loops: bool,
    control: I64,
) -> HAG:
    """The best HAG of a product that was found, or the product as it is.

    Args:
        factors: The factors, without duplicates unless paths are counted.
        options: How to search.
        weighted: Whether each path is one.
        is_max: Whether several paths make no difference.
        self_loops: Whether a node reaches itself.
        control: Stops the search when `control[STOP]` is not 0.

    Raises:
        MemoryError: If a memory limit is too small for the factors.
    """
    _check_memory(factors, options.memory_limit)
    best = _Best(options, is_max, control)
    is_chain = (weighted or is_max) and self_loops
    if is_chain:
        rules = chain(factors, distinct=is_max)
        best.offer(Found(rules, np.arange(factors[0].num_src, dtype=np.int32)))
    # Of two factors, the other way is the same, but for twins:
    if not is_chain or (is_max and len(factors) > 2 and control[STOP] == 0):
        left, right = factors if weighted else fold(factors)
        quotient = to_quotient(left, right, merge=self_loops)
        own = np.empty(0, np.int32) if self_loops else _own_atoms(quotient)
        rest = own, weighted or is_max
        best.offer(Found(*split_rules(quotient, left.num_src, False, *rest)))
    best.refine()
    if options.subtract and control[STOP] == 0:  # which goes with neither of both
        best.offer(Found(*split_rules(quotient, left.num_src, True, *rest)))
    return best.hag_or_plain()


def _check_memory(factors: Sequence[Factor], limit: int | None) -> None:
    num_entries = sum(factor.idx.size for factor in factors)
    try:
        Memory(limit).require(_PER_ENTRY * num_entries)
    except TooLittleMemory:
        raise MemoryError(
            f"'memory_limit' is {limit:,} bytes, but the HAG of a product of "
            f"{num_entries:,} edges takes about {_PER_ENTRY * num_entries:,}: pass "
            f"more"
        ) from None


class _Best:
    """The best of the HAGs that are offered: that of least time, or of least work."""

    def __init__(self, options: SearchOptions, is_max: bool, control: I64) -> None:
        self._options = options
        self._is_max = is_max
        self._control = control
        self._hag: HAG | None = None
        self._ratio = 1.0  # of its time to the plain product's
        self._cost = np.inf  # seconds, or aggregations

    @property
    def _counts(self) -> bool:
        return self._options.objective == "aggregations"

    def _seconds(self, hag: HAG) -> float:
        options = self._options
        return options.effective_cost_model.seconds(hag, options.num_features)

    def offer(self, found: Found) -> None:
        """Takes the HAG of what was found if it is better."""
        if self._counts:
            hag, ratio = fewest(found, self._options), 1.0
            cost = float(count_aggregations(hag))
        else:
            hag, ratio = fastest(found, self._options, False, self._control)
            cost = self._seconds(hag)
        if cost < self._cost:
            self._hag, self._cost, self._ratio = hag, cost, ratio

    def refine(self) -> None:
        """Searches what the rows of the best HAG share, which must not subtract.

        Where `memory_limit` is too low for that, they are not searched.
        """
        hag, control, options = self._hag, self._control, self._options
        assert hag is not None
        if control[STOP] != 0:
            return
        ptr, row = to_rows(hag)
        if options.num_passes is not None and not self._counts:
            if options.num_passes * self._cost < SEARCH_SECONDS * row.size:
                return
        size = hag.num_src + hag.num_aggregates, ptr.size - 1
        dst = np.repeat(np.arange(size[1]), np.diff(ptr))
        edges = row.astype(np.int64), dst
        if decide_at_once((*edges, *size), options, control) is not None:
            return
        search = RowSearch(options, 0, control, Memory(options.memory_limit))
        try:
            rules = refine(hag, ptr, row, search)
        except TooLittleMemory:
            return
        self.offer(Found(rules, np.arange(hag.num_src, dtype=np.int32)))

    def hag_or_plain(self) -> HAG:
        """The best HAG if it pays, else the product as it is."""
        hag, ratio = self._hag, self._ratio
        assert hag is not None
        is_cut = int(self._control[STOP] != 0)
        if self._counts:
            return hag.decided(Decision(Reason.FEWEST, is_cut=is_cut))
        if self._is_max and 0 < hag.num_edges <= _CHECKED:  # several may be one edge
            ratio *= hag.num_edges / hag.weighted_by(EdgeWeights.cover()).num_edges
        numbers = {"is_cut": is_cut, "percent": round(100 * ratio)}
        numbers["width"] = self._options.num_features
        if ratio < MAX_RATIO:
            return hag.decided(Decision(Reason.PAYS, **numbers))
        plain = Factor(*_narrow(*hag.host.csr()), hag.num_src)
        plain = plain.distinct() if self._is_max else plain
        flat = flat_of_rows(plain.ptr, plain.idx, hag.num_src)
        out = HAG.from_arrays(hag.num_src, flat)
        if hag.num_aggregates == 0:
            return out.decided(Decision(Reason.NONE_SAVES, is_cut=is_cut))
        numbers["number"] = hag.num_aggregates
        return out.decided(Decision(Reason.PAYS_NOT, **numbers))


def _narrow(ptr: I64, col: I64) -> tuple[I64, I32]:
    return ptr, col.astype(np.int32)


def _own_atoms(quotient: Quotient) -> I32:
    """The atom of the node itself, for each row, where no nodes are merged."""
    own = np.full(quotient.row_ptr.size - 1, -1, np.int32)
    atom_of = np.full(quotient.row_of.size, -1, np.int32)
    atom_of[quotient.member] = np.arange(quotient.member.size, dtype=np.int32)
    full = quotient.row_of >= 0
    own[quotient.row_of[full]] = atom_of[full]
    return own
