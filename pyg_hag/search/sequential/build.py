"""From a graph to a HAG for aggregators that read their neighbours in order."""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import bucket, label_groups, to_lists
from pyg_hag.graph.sort import to_rows
from pyg_hag.hag import HAG
from pyg_hag.hag.decision import Decision, Reason
from pyg_hag.hag.plain import flat_of_rows
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.pairs.copies import separate_copies
from pyg_hag.search.progress import go_on
from pyg_hag.search.sequential.layout import write
from pyg_hag.search.sequential.prefix_order import order_rows
from pyg_hag.search.sequential.prefix_trie import (
    Steps,
    Trie,
    build_trie,
    count_group_steps,
    count_readers,
    count_steps,
    find_forks,
)
from pyg_hag.utils.arrays import I32, I64, Bool

Lists = tuple[I64, I32]
"""List v is `row[row_ptr[v] : row_ptr[v + 1]]`; both arrays."""

Groups = tuple[int, I32]
"""The number of groups, and the group of each list; -1 for empty lists."""


class _Shared(NamedTuple):
    """Lists in some order, and what they share.

    Attributes:
        orders: The names of the orders: one for all lists, or of each component's.
        lists: Pointers and sources of the lists.
        trie: Their prefixes.
        keep: The prefixes that become aggregates, `[num_nodes]`.
        steps: The steps of an aggregator over these.
    """

    orders: tuple[str, ...]
    lists: Lists
    trie: Trie
    keep: Bool
    steps: Steps


def build_sequential(
    src: I64, dst: I64, num_src: int, num_dst: int, options: SearchOptions, control: I64
) -> HAG:
    r"""The sequential HAG of a graph: every prefix that lists share is an aggregate.

    The trie of the destinations' lists has one node per distinct prefix, that is, per
    step of the aggregator, and no HAG of these lists takes fewer steps (Jia et al.,
    *Redundancy-Free Computation for Graph Neural Networks*, KDD 2020, Section 4).
    Nodes where lists part or end become aggregates; the nodes between are sources of
    the next one. Takes :math:`O(|E|)`, and :math:`O(|E| \log |V|)` where the order
    is free.

    Args:
        src: Sources of the edges.
        dst: Destinations of the edges.
        num_src: Number of sources.
        num_dst: Number of destinations.
        options: `neighbor_order`, `capacity` and `min_redundancy` are used.
        control: Ends the search, without a HAG, when `control[STOP]` is not 0.

    Raises:
        Stopped: If it was ended.
    """
    graph = src, dst, num_src, num_dst, control
    order = options.neighbor_order or "given"
    if options.capacity == 0:
        flat = flat_of_rows(*_ORDERS[order](*graph), num_src)
        hag = HAG.from_arrays(num_src, flat, sequential=True)
        return hag.decided(Decision(Reason.NO_CAPACITY))
    groups = label_groups(*to_lists(src, dst, num_dst), num_src)
    if order == "shared":
        lists = {name: _ORDERS[name](*graph) for name in ("shared", "degree", "given")}
        found = _share_most(lists, groups, num_src, options, control)
    else:
        found = _share((order,), _ORDERS[order](*graph), num_src, options, control)
    flat = write(*found.lists, found.trie, found.keep, found.steps, *groups)
    hag = HAG.from_arrays(num_src, flat, sequential=True)
    return hag.decided(Decision.in_order(found.orders))


def _in_given_order(
    src: I64, dst: I64, num_src: int, num_dst: int, control: I64
) -> Lists:
    """Lists in the order of the edges."""
    lists: Lists = to_lists(src, dst, num_dst)
    return lists


def _by_degree(src: I64, dst: I64, num_src: int, num_dst: int, control: I64) -> Lists:
    """Lists in which the sources that most destinations read come first."""
    go_on(control)
    rows = to_rows(src, dst, num_src, num_dst)
    order = np.argsort(-count_readers(*rows, num_src), kind="stable")
    rank = np.empty(num_src, np.int64)
    rank[order] = np.arange(num_src)
    row_ptr, row = to_rows(rank[src], dst, num_src, num_dst)
    return row_ptr, order[row].astype(np.int32)


def _by_prefix(src: I64, dst: I64, num_src: int, num_dst: int, control: I64) -> Lists:
    """Lists in an order in which they share long prefixes."""
    row_ptr, row = to_rows(src, dst, num_src, num_dst)
    num_groups, group = label_groups(row_ptr, row, num_src)
    items, origin = separate_copies(row_ptr, row, num_src)
    parts = bucket(group, num_groups)
    ordered = order_rows(row_ptr, items, origin.size, *parts, control)
    go_on(control)
    return row_ptr, origin[ordered]


_ORDERS = {"given": _in_given_order, "degree": _by_degree, "shared": _by_prefix}


def _share(
    orders: tuple[str, ...],
    lists: Lists,
    num_src: int,
    options: SearchOptions,
    control: I64,
) -> _Shared:
    """What lists share, within the limits of the options."""
    row_ptr, row = lists
    go_on(control)
    trie = build_trie(row_ptr, row, num_src)
    go_on(control)
    keep = find_forks(trie, options.effective_min_redundancy)
    steps = count_steps(row_ptr, trie, keep)
    while (
        options.capacity is not None
        and (excess := int(keep.sum()) - options.capacity) > 0
    ):
        # Only the worse half at a time: without them, others are worth more.
        kept = keep.nonzero()[0]
        order_of_loss = np.argsort(steps.loss[kept], kind="stable")
        keep[kept[order_of_loss[: (excess + 1) // 2]]] = False
        go_on(control)
        steps = count_steps(row_ptr, trie, keep)
    return _Shared(orders, lists, trie, keep, steps)


def _share_most(
    orders: dict[str, Lists],
    groups: Groups,
    num_src: int,
    options: SearchOptions,
    control: I64,
) -> _Shared:
    """The order of fewest steps: one for all lists, or the best one in each group."""
    num_groups, group = groups
    found: list[_Shared] = []  # the best so far
    group_steps = []
    for name, lists in orders.items():
        shared = _share((name,), lists, num_src, options, control)
        group_steps.append(
            count_group_steps(
                shared.trie, options.effective_min_redundancy, group, num_groups
            )
        )
        found = [min([*found, shared], key=lambda s: s.steps.total)]
    best = np.argmin(group_steps, 0)  # of equal ones, the first
    if np.unique(best).size > 1:
        row_ptr, _ = found[0].lists
        choice = np.repeat(best[group], np.diff(row_ptr))  # lists without group: empty
        row = np.choose(choice, [row for _, row in orders.values()])
        names = tuple(name for i, name in enumerate(orders) if i in best)
        found.append(_share(names, (row_ptr, row), num_src, options, control))
    return min(found, key=lambda s: s.steps.total)
