"""The search that the options ask for, and whether what it finds is better."""

import numpy as np
import torch
from numpy.typing import NDArray

from pyg_hag.hag import HAG
from pyg_hag.search import _components
from pyg_hag.search._choose import Prices, assemble
from pyg_hag.search._contract import Contraction
from pyg_hag.search._options import Options
from pyg_hag.search._parts import count_parts, search
from pyg_hag.search._rules import Rules
from pyg_hag.search._search import Found
from pyg_hag.search._signed import find_signed

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_LEAST_GAIN = 0.93  # of plain's time
_SHARES = (0.75, 2.0, 6.0)  # of a row's price that aggregates must earn
_SURE = 0.75  # of plain's time: no other share is tried
_BETTER = 0.97  # of the first one's time
_SEARCH_SECONDS = 3e-7  # that a fast search takes per edge


def find_hag(
    src: I64, dst: I64, num_src: int, num_dst: int, options: Options, control: I64
) -> HAG:
    """The best HAG of the graph, or the graph as it is."""
    if options.capacity == 0:
        return _plain(src, dst, num_src, num_dst)._decided("plain: 'capacity' is 0")
    if options.num_passes is not None and options.objective == "time":
        plain = _plain(src, dst, num_src, num_dst)
        seconds = options.prices.seconds(plain, options.num_features)
        if options.num_passes * seconds < _SEARCH_SECONDS * src.size:
            return plain._decided(
                f"plain: {options.num_passes} passes of about {1e6 * seconds:.0f} "
                f"microseconds cannot pay for a search"
            )
    work = 2 if options.subtract else 1  # what is found is kept for a comparison
    num_parts = count_parts(options.memory_limit, work * src.size, num_src + num_dst)
    if num_parts == 0:
        plain = _plain(src, dst, num_src, num_dst)
        return plain._decided("plain: no search fits into 'memory_limit'")
    turned = options.method == "auto" and _components.is_cheaper_transposed(
        src, dst, num_src, num_dst
    )
    ends = (dst, src, num_dst, num_src) if turned else (src, dst, num_src, num_dst)
    row_ptr, row = _components.to_rows(*ends)
    rules, origin, keep = _found(row_ptr, row, *ends[2:], options, num_parts, control)
    if options.objective == "aggregations":
        hag = _hag(rules, origin, keep, options.capacity, None)
        return (hag.t() if turned else hag)._decided("HAG of fewest aggregations")
    width = options.num_features
    hag, ratio = _fastest(rules, origin, keep, options, turned)
    if hag.num_aggregates == 0:
        return hag._decided("plain: no aggregate saves time")
    share = f"predicted to take {ratio:.2f} of plain's time at {width} features"
    if ratio < _LEAST_GAIN:
        return hag._decided(f"HAG: {share}")
    if turned:
        row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    return _as_it_is(row_ptr, row, num_src)._decided(
        f"plain: a HAG of {hag.num_aggregates} aggregates was {share}"
    )


def _plain(src: I64, dst: I64, num_src: int, num_dst: int) -> HAG:
    row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    return _as_it_is(row_ptr, row, num_src)


def _as_it_is(row_ptr: I64, row: I32, num_src: int) -> HAG:
    """The graph of the rows without aggregates."""
    origin = np.arange(num_src, dtype=np.int32)
    none = np.empty(0, np.int32)
    rules = Rules(num_src, none, none, row_ptr[:-1], np.diff(row_ptr), row)
    return _hag(rules, origin, np.empty(0, np.bool_), None, None)


def _found(
    row_ptr: I64,
    row: I32,
    num_src: int,
    num_dst: int,
    options: Options,
    num_parts: int,
    control: I64,
) -> tuple[Rules, I32, NDArray[np.bool_]]:
    """What the search finds: see :func:`pyg_hag.search._choose.assemble`."""
    row, origin = _components.separate_copies(row_ptr, row, num_src)
    num_nodes = num_src if num_src == num_dst else 0
    exact = options.method == "greedy"

    def find(row_ptr: I64, row: I32, num_items: int) -> tuple[Rules, Found]:
        parts = Contraction(
            row_ptr,
            row,
            num_items,
            num_nodes=num_nodes,
            arity=2 if options.objective == "aggregations" else 4,
            most_rounds=0 if exact else 16,
            control=control,
        )
        lists, found = search(parts, num_parts, exact, options.least, control)
        return parts.expand(*lists), found

    keep = None
    if options.subtract:
        rules = find_signed(
            row_ptr, row, origin.size, num_nodes, lambda *r: find(*r)[0], control
        )
        origin = np.concatenate([origin, -1 - origin])
    else:
        rules, found = find(row_ptr, row, origin.size)
        if exact and options.capacity is not None and num_parts == 1:
            keep = _most_shared(found, options.capacity)
    if keep is None:
        keep = np.ones(rules.counts.size, np.bool_)
    return rules, origin, keep


def _fastest(
    rules: Rules,
    origin: I32,
    keep: NDArray[np.bool_],
    options: Options,
    turned: bool,
) -> tuple[HAG, float]:
    """The HAG of least predicted time, and that over plain's.

    A row's price says little of what its aggregate takes from others' place in the
    caches: HAGs of fewer aggregates, which must earn more, are tried as well.
    """
    best, least = None, np.inf
    for share in _SHARES:
        prices = Prices(options.prices, options.num_features, share)
        hag = _hag(rules, origin, keep.copy(), options.capacity, prices)
        hag = hag.t() if turned else hag
        ratio = options.prices.ratio(hag, options.num_features)
        if best is None or (ratio < _BETTER * least and hag.num_aggregates > 0):
            best, least = hag, ratio
        if least < _SURE or hag.num_aggregates == 0:
            break
    assert best is not None
    return best, least


def _hag(
    rules: Rules,
    origin: I32,
    keep: NDArray[np.bool_],
    capacity: int | None,
    prices: Prices | None,
) -> HAG:
    num_src = int(origin.max(initial=-1)) + 1
    flat = assemble(rules, origin, keep, capacity, prices)
    return HAG._trusted(num_src, [torch.from_numpy(t) for t in flat])


def _most_shared(found: Found, capacity: int) -> NDArray[np.bool_]:
    """Which pairs are among the `capacity` most shared ones of all components.

    The pairs of a component come in descending order, so these are its first.
    """
    num_new = found.num_new
    component = np.repeat(np.arange(num_new.size), num_new)
    rank = np.arange(component.size) - np.repeat(np.cumsum(num_new) - num_new, num_new)
    base = found.entry_ptr[found.rows_ptr[:-1]] // 2
    order = np.argsort(-found.shared[base[component] + rank], kind="stable")
    keep = np.zeros(component.size, np.bool_)
    keep[order[:capacity]] = True
    return keep
