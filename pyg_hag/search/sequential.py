"""From a graph to a HAG for aggregators that read their neighbours in order."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pyg_hag.hag import HAG
from pyg_hag.search import _components, _layout, _prefix, _trie
from pyg_hag.search._options import NEIGHBOR_ORDERS, Options

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class _Shared(NamedTuple):
    """Lists in some order, and what they share."""

    order: str
    rows: tuple[I64, I32]
    """Pointers and sources of the lists."""
    trie: tuple[I64, I32, I32, I32, I64]
    """That of the lists, as from :func:`_trie.grow`."""
    keep: Bool
    """The prefixes that become aggregates."""
    nearest: I64
    """The longest kept prefix of each prefix."""
    steps: int


def build_sequential(
    src: I64, dst: I64, num_src: int, num_dst: int, options: Options
) -> HAG:
    r"""The sequential HAG of a graph: every prefix that lists share is an aggregate.

    The trie of the destinations' lists has one node per distinct prefix, that is per
    step of the aggregator, and no HAG of these lists takes fewer steps (Jia et al.,
    *Redundancy-Free Computation for Graph Neural Networks*, KDD 2020, Section 4).
    Nodes where lists part or end become aggregates; those between are sources of
    the next one. Takes :math:`O(|E|)`, and :math:`O(|E| \log |V|)` where the order
    is free.

    Args:
        src: Sources of the edges.
        dst: Their destinations.
        num_src: Number of sources.
        num_dst: Number of destinations.
        options: `neighbor_order`, `capacity` and `min_redundancy` are used.
    """
    order = options.neighbor_order or "given"
    given = _trie.given_rows(src, dst, num_dst)
    num_groups, group, _ = _layout.find_groups(
        num_src,
        np.zeros(1, np.int64),
        np.empty(0, np.int32),
        given[0][:-1],
        np.diff(given[0]),
        given[1],
    )
    groups = (num_groups, group)
    if order == "given":
        found = _share(order, given, num_src, options)
    elif order == "degree":
        found = _share(order, _by_degree(src, dst, num_src, num_dst), num_src, options)
    else:
        found = _share_most(
            {
                "shared": _by_prefix(src, dst, num_src, num_dst, groups),
                "degree": _by_degree(src, dst, num_src, num_dst),
                "given": given,
            },
            groups,
            num_src,
            options,
        )
    parent, depth, reader, _, last = found.trie
    flat = _trie.write(
        *found.rows,
        parent,
        depth,
        reader,
        last,
        found.keep,
        found.nearest,
        found.steps,
        *groups,
    )
    hag = HAG._trusted(num_src, [torch.from_numpy(t) for t in flat], True)
    words = f"'{found.order}' order"
    if found.order not in NEIGHBOR_ORDERS:
        words = f"the best of {found.order} order in each component"
    return hag._decided(f"sequential HAG: prefixes shared in {words}")


def _by_degree(src: I64, dst: I64, num_src: int, num_dst: int) -> tuple[I64, I32]:
    """Lists with the sources first that the most destinations read."""
    rows = _components.to_rows(src, dst, num_src, num_dst)
    order = np.argsort(-_trie.count_readers(*rows, num_src), kind="stable")
    rank = np.empty(num_src, np.int64)
    rank[order] = np.arange(num_src)
    row_ptr, row = _components.to_rows(rank[src], dst, num_src, num_dst)
    return row_ptr, order[row].astype(np.int32)


def _by_prefix(
    src: I64, dst: I64, num_src: int, num_dst: int, groups: tuple[int, I32]
) -> tuple[I64, I32]:
    """Lists in an order in which they share long prefixes."""
    row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    items, origin = _components.separate_copies(row_ptr, row, num_src)
    parts = _layout.bucket(groups[1], groups[0])
    ordered = _prefix.order_rows(row_ptr, items, origin.size, *parts)
    return row_ptr, origin[ordered]


def _share(
    order: str, rows: tuple[I64, I32], num_src: int, options: Options
) -> _Shared:
    """What lists share, within the limits of the options."""
    trie = _trie.grow(*rows, num_src)
    parent, depth, _, count, last = trie
    keep = _trie.find_forks(parent, count, last, options.least)
    tree = (rows[0], parent, depth, last, keep)
    nearest, steps, loss = _trie.measure(*tree)
    while (
        options.capacity is not None
        and (excess := int(keep.sum()) - options.capacity) > 0
    ):
        # Only the worst at a time: when they are gone, others are worth more.
        kept = keep.nonzero()[0]
        worst = np.argsort(loss[kept], kind="stable")[: (excess + 1) // 2]
        keep[kept[worst]] = False
        nearest, steps, loss = _trie.measure(*tree)
    return _Shared(order, rows, trie, keep, nearest, int(steps))


def _share_most(
    orders: dict[str, tuple[I64, I32]],
    groups: tuple[int, I32],
    num_src: int,
    options: Options,
) -> _Shared:
    """The order of fewest steps: one for all, or in each group the best of them."""
    found: list[_Shared] = []  # the best so far
    steps = []
    for name, rows in orders.items():
        shared = _share(name, rows, num_src, options)
        _, _, reader, count, _ = shared.trie
        least = options.least
        steps.append(_trie.count_steps(reader, count, least, groups[1], groups[0]))
        found = [min([*found, shared], key=lambda f: f.steps)]
    best = np.argmin(steps, 0)  # of equal ones, the first
    if np.unique(best).size > 1:
        row_ptr, _ = found[0].rows
        choice = np.repeat(best[groups[1]], np.diff(row_ptr))  # -1 has no entries
        row = np.choose(choice, [row for _, row in orders.values()])
        names = ", ".join(f"'{name}'" for i, name in enumerate(orders) if i in best)
        found.append(_share(names, (row_ptr, row), num_src, options))
    return min(found, key=lambda f: f.steps)
