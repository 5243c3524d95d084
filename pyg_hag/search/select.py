"""Runs the search that the options ask for, and keeps its HAG only if it pays."""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.sort import to_rows
from pyg_hag.hag import HAG
from pyg_hag.hag.decision import Decision, Reason
from pyg_hag.hag.plain import flat_of_rows, plain_flat
from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.assemble import Prices, assemble
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.memory import Memory, TooLittleMemory
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.pairs.copies import separate_copies
from pyg_hag.search.pairs.search import MergedPairs
from pyg_hag.search.progress import STOP
from pyg_hag.search.rows import RowSearch
from pyg_hag.search.signed.find import find_signed
from pyg_hag.search.worth import MIN_EDGES, search_sample
from pyg_hag.utils.arrays import I32, I64, Bool

MAX_ITEMS = 2**31 - 1
"""The largest number of sources, copies and aggregates of a search, in 32 bits."""
MAX_RATIO = 0.93
"""Of the plain graph's time: a HAG must take less."""
_SHARES = (0.75, 2.0, 6.0)  # of a row's price that aggregates must save
_GOOD_RATIO = 0.75  # of the plain graph's time: no other share is tried
_MIN_IMPROVEMENT = 0.97  # of the time with the best share so far
SEARCH_SECONDS = 3e-7
"""That a fast search takes per edge."""


class Found(NamedTuple):
    """What a search has found."""

    rules: Rules
    origin: I32
    """The source that each given item stands for; `-1 - u` subtracts source u."""
    keep: Bool | None = None
    """The new items that may become aggregates; None for all."""


def find_hag(
    src: I64, dst: I64, num_src: int, num_dst: int, options: SearchOptions, control: I64
) -> HAG:
    """The best HAG of the graph, or the graph as it is."""
    if options.capacity == 0:
        return _plain(src, dst, (num_src, num_dst), Reason.NO_CAPACITY)
    if options.num_passes is not None and options.objective == "time":
        hag = _plain(src, dst, (num_src, num_dst), Reason.FEW_PASSES)
        seconds = options.effective_cost_model.seconds(hag, options.num_features)
        if options.num_passes * seconds < SEARCH_SECONDS * src.size:
            microseconds = round(1e6 * seconds)
            numbers = {"number": options.num_passes, "width": microseconds}
            return hag.decided(Decision(Reason.FEW_PASSES, **numbers))
        del hag
    memory = Memory(options.memory_limit)
    try:
        return _found(src, dst, num_src, num_dst, options, control, memory)
    except TooLittleMemory:
        pass  # what the error refers to is freed before others are made
    return _plain(src, dst, (num_src, num_dst), Reason.NO_MEMORY)


def _plain(
    src: I64, dst: I64, size: tuple[int, int], reason: Reason, **numbers: int
) -> HAG:
    """The graph as it is, and why."""
    hag = HAG.from_arrays(size[0], plain_flat(src, dst, size))
    return hag.decided(Decision(reason, **numbers))


def _found(
    src: I64,
    dst: I64,
    num_src: int,
    num_dst: int,
    options: SearchOptions,
    control: I64,
    memory: Memory,
) -> HAG:
    """The result of a search, or the graph as it is.

    Raises:
        TooLittleMemory: If it does not fit into its limit.
    """
    memory.for_rows(src.size, num_src + num_dst)
    transpose = options.method == "auto" and is_cheaper_transposed(
        src, dst, num_src, num_dst
    )
    ends = (dst, src, num_dst, num_src) if transpose else (src, dst, num_src, num_dst)
    numbers = decide_at_once(ends, options, control)
    if numbers is not None:
        return _plain(src, dst, (num_src, num_dst), Reason.NOT_WORTH, **numbers)
    row_ptr, row = to_rows(*ends)
    # Rows are kept for the graph as it is, unless memory is scarce:
    rows = (row_ptr, row) if not transpose and memory.limit is None else None

    def plain(reason: Reason, **numbers: int) -> HAG:
        if rows is None:
            return _plain(src, dst, (num_src, num_dst), reason, **numbers)
        flat = flat_of_rows(rows[0], rows[1], num_src)
        return HAG.from_arrays(num_src, flat).decided(Decision(reason, **numbers))

    if control[STOP] != 0:
        del row_ptr, row
        return plain(Reason.NONE_SAVES, is_cut=1)
    found, num_parts = _search(row_ptr, row, *ends[2:], options, control, memory)
    del row_ptr, row
    memory.held = sum(array.nbytes for f in found for array in (*f.rules[1:], f.origin))
    inputs = max(f.rules.inputs.size + f.rules.row.size for f in found)
    memory.for_hag(inputs, max(f.rules.counts.size + f.rules.start.size for f in found))
    limits = {"is_cut": int(control[STOP] != 0), "is_split": int(num_parts > 1)}
    if options.objective == "aggregations":
        hags = (fewest(f, options, transpose) for f in found)
        hag = min(hags, key=count_aggregations)
        return hag.decided(Decision(Reason.FEWEST, **limits))
    hag, ratio = min(
        (fastest(f, options, transpose, control) for f in found),
        key=lambda result: result[1],
    )
    del found
    count = hag.num_aggregates
    if count == 0:
        return plain(Reason.NONE_SAVES, **limits)
    limits |= {"percent": round(100 * ratio), "width": options.num_features}
    if ratio < MAX_RATIO:
        return hag.decided(Decision(Reason.PAYS, **limits))
    del hag
    return plain(Reason.PAYS_NOT, number=count, **limits)


def decide_at_once(
    ends: tuple[I64, I64, int, int], options: SearchOptions, control: I64
) -> dict[str, int] | None:
    """Why a sample of a large graph pays for no search; None if a search may pay.

    A sample saves more than the whole graph on nearly every graph: its aggregates
    displace no others from the caches, and more of them are kept.
    """
    is_default = options.objective == "time" and options.method == "auto"
    src, _, num_src, num_dst = ends
    if src.size < MIN_EDGES or not is_default or options.subtract:
        return None
    memory = Memory.for_sample(options.memory_limit, num_src)
    search = RowSearch(options, 0, control, memory)
    try:
        sample = search_sample(*ends, search)
    except TooLittleMemory:
        return None
    if control[STOP] != 0 or search.most_parts > 1:
        return None
    scale = src.size / sample.edges
    counts = src.size, scale * sample.reads, scale * sample.aggregates
    model, width = options.effective_cost_model, options.num_features
    ratio = model.ratio_of_counts((num_src, num_dst), counts, width)
    if ratio < MAX_RATIO:
        return None
    return {"percent": round(100 * ratio), "width": width, "number": sample.edges}


@jit
def is_cheaper_transposed(src: I64, dst: I64, num_src: int, num_dst: int) -> bool:
    """Whether reading all rows that contain an item costs far less transposed.

    For all items together, that is the sum of the squared lengths of the rows.
    """
    row_len = np.zeros(num_dst, np.int64)
    col_len = np.zeros(num_src, np.int64)
    for e in range(src.size):
        row_len[dst[e]] += 1
        col_len[src[e]] += 1
    by_row, by_col = 0, 0
    for v in range(num_dst):
        by_row += row_len[v] * row_len[v]
    for u in range(num_src):
        by_col += col_len[u] * col_len[u]
    return 4 * by_col < by_row


def _search(
    row_ptr: I64,
    row: I32,
    num_src: int,
    num_dst: int,
    options: SearchOptions,
    control: I64,
    memory: Memory,
) -> tuple[list[Found], int]:
    """Searches the rows.

    Returns:
        One or two results, and the largest number of parts in which rows were searched.

    Raises:
        TooLittleMemory: If no number of parts keeps to the limit.
    """
    given = row
    row, origin = separate_copies(row_ptr, row, num_src)
    memory.held = row_ptr.nbytes + row.nbytes + (0 if row is given else given.nbytes)
    if 2 * origin.size + row.size > MAX_ITEMS:  # those of twins, and of merged pairs
        raise ValueError(
            f"the graph is too large to search: {row.size:,} edges could make more "
            f"than {MAX_ITEMS:,} aggregates; use 'capacity=0', or search it in parts"
        )
    search = RowSearch(options, num_src if num_src == num_dst else 0, control, memory)
    if options.subtract:
        memory.held *= 2  # what is found is kept for comparisons
        found = find_signed(
            row_ptr, row, origin.size, search.num_nodes, search, search.write, control
        )
        origin = np.concatenate([origin, -1 - origin])
        results = [Found(rules, origin) for rules in found if rules is not None]
        return results, search.most_parts
    rules = search(row_ptr, row, origin.size)
    keep = None
    if search.merged is not None and options.capacity is not None:
        keep = _select_most_shared(search.merged, options.capacity)
    return [Found(rules, origin, keep)], search.most_parts


def fewest(found: Found, options: SearchOptions, transpose: bool = False) -> HAG:
    """The HAG of all aggregates that save aggregations."""
    return _assemble(found, options.capacity, None, transpose)


def fastest(
    found: Found, options: SearchOptions, transpose: bool, control: I64
) -> tuple[HAG, float]:
    """The HAG of least predicted time, as a ratio to the plain graph's time too.

    A row's price does not cover that its aggregate displaces others from the caches:
    HAGs of fewer aggregates, each of which must save more, are tried as well, unless
    the time is over.
    """
    model, width = options.effective_cost_model, options.num_features
    best, best_ratio = None, np.inf
    for share in _SHARES:
        prices = Prices(model, width, share)
        hag = _assemble(found, options.capacity, prices, transpose)
        ratio = model.ratio(hag, width)
        if options.memory_limit is not None:  # without its plan
            hag = HAG.trusted(hag.num_src, hag.tensors, False)
        improves = ratio < _MIN_IMPROVEMENT * best_ratio and hag.num_aggregates > 0
        if best is None or improves:
            best, best_ratio = hag, ratio
        if best_ratio < _GOOD_RATIO or hag.num_aggregates == 0 or control[STOP] != 0:
            break
    assert best is not None
    return best, best_ratio


def count_aggregations(hag: HAG) -> int:
    """The binary aggregations: all inputs of a row but one are added to it."""
    num_inputs = hag.host.flat.src_count + hag.host.flat.agg_count
    return int(num_inputs.sum() - np.count_nonzero(num_inputs))


def _assemble(
    found: Found, capacity: int | None, prices: Prices | None, transpose: bool
) -> HAG:
    rules, origin, keep = found
    keep = np.ones(rules.counts.size, np.bool_) if keep is None else keep.copy()
    flat = assemble(rules, origin, keep, capacity, prices)
    hag = HAG.from_arrays(int(origin.max(initial=-1)) + 1, flat)
    return hag.t() if transpose else hag


def _select_most_shared(merged: MergedPairs, capacity: int) -> Bool:
    """Which pairs are among the `capacity` most shared ones of all components.

    The pairs of a component are in descending order, so these are its first.
    """
    num_new = merged.num_new
    component = np.repeat(np.arange(num_new.size), num_new)
    rank = np.arange(component.size) - np.repeat(np.cumsum(num_new) - num_new, num_new)
    base = merged.components.entry_ptr[merged.components.rows_ptr[:-1]] // 2
    order = np.argsort(-merged.num_shared[base[component] + rank], kind="stable")
    keep = np.zeros(component.size, np.bool_)
    keep[order[:capacity]] = True
    return keep
