"""From the factors of a product of graphs to its HAG, without the product."""

from collections.abc import Iterator, Sequence

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.decision import Decision, Reason
from pyg_hag.hag.plain import flat_of_rows
from pyg_hag.search.memory import Memory
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.product.chain import chain
from pyg_hag.search.product.factors import Factor, fold
from pyg_hag.search.product.quotient import Quotient, to_quotient
from pyg_hag.search.product.quotient_rules import searched_rules, split_rules
from pyg_hag.search.progress import STOP
from pyg_hag.search.rows import RowSearch
from pyg_hag.search.select import MAX_RATIO, Found, count_aggregations, fastest, fewest
from pyg_hag.utils.arrays import I32, I64

_MOST_PATHS = 1 << 20  # of a quotient that is multiplied and searched
_MOST_EDGES = 1 << 22  # of such a product


def find_product(
    factors: Sequence[Factor],
    options: SearchOptions,
    weighted: bool,
    is_max: bool,
    self_loops: bool,
    control: I64,
) -> HAG:
    """The best HAG of a product that was found.

    Args:
        factors: The factors, without duplicates unless paths are counted.
        options: How to search.
        weighted: Whether each path is one.
        is_max: Whether several paths make no difference.
        self_loops: Whether a node reaches itself.
        control: Stops the search when `control[STOP]` is not 0.
    """
    if (weighted or is_max) and self_loops:
        rules = chain(factors, distinct=is_max)
        found = Found(rules, np.arange(factors[0].num_src, dtype=np.int32))
        return _best(iter([found]), options, is_max, control)
    left, right = factors if weighted else fold(factors)
    found = _candidates(left, right, options, weighted, self_loops, control)
    return _best(found, options, is_max, control)


def _best(
    candidates: Iterator[Found], options: SearchOptions, is_max: bool, control: I64
) -> HAG:
    """The best HAG of those that were found, or the product as it is."""
    if options.objective == "aggregations":
        hags = (fewest(found, options) for found in candidates)
        hag = min(hags, key=count_aggregations)
        return hag.decided(Decision(Reason.FEWEST, is_cut=int(control[STOP] != 0)))
    best = min(
        (fastest(found, options, False, control) for found in candidates),
        key=lambda result: result[1],
    )
    hag, ratio = best
    numbers = {
        "is_cut": int(control[STOP] != 0),
        "percent": round(100 * ratio),
        "width": options.num_features,
    }
    if ratio < MAX_RATIO:
        return hag.decided(Decision(Reason.PAYS, **numbers))
    ptr, col = hag.host.csr()
    plain = Factor(ptr, col.astype(np.int32), hag.num_src)
    if is_max:
        plain = plain.distinct()
    out = HAG.from_arrays(hag.num_src, flat_of_rows(plain.ptr, plain.idx, hag.num_src))
    if hag.num_aggregates == 0:
        return out.decided(Decision(Reason.NONE_SAVES, is_cut=numbers["is_cut"]))
    numbers["number"] = hag.num_aggregates
    return out.decided(Decision(Reason.PAYS_NOT, **numbers))


def _candidates(
    left: Factor,
    right: Factor,
    options: SearchOptions,
    counts: bool,
    self_loops: bool,
    control: I64,
) -> Iterator[Found]:
    """The product of two factors as disjoint sums, and as a search sees it."""
    quotient = to_quotient(left, right, merge=self_loops)
    own = np.empty(0, np.int32) if self_loops else _own_atoms(quotient)
    parts = quotient, left.num_src
    yield Found(*split_rules(*parts, options.subtract, own, counts))
    is_small = self_loops and not counts and quotient.num_paths() <= _MOST_PATHS
    if is_small and control[STOP] == 0:
        search = RowSearch(options, 0, control, Memory(options.memory_limit))
        result = searched_rules(*parts, search, _MOST_EDGES)
        if result is not None:
            yield Found(*result)


def _own_atoms(quotient: Quotient) -> I32:
    """The atom of the node itself, for each row; nodes are neither merged."""
    num_rows = quotient.row_ptr.size - 1
    own = np.full(num_rows, -1, np.int32)
    atom_of = np.full(quotient.row_of.size, -1, np.int32)
    atom_of[quotient.member] = np.arange(quotient.member.size, dtype=np.int32)
    full = quotient.row_of >= 0
    own[quotient.row_of[full]] = atom_of[full]
    return own
