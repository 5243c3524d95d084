"""The greedy search once more: slow, obvious, in plain Python.

Nothing here knows of the package but the order of a HAG's flat tensors.
"""

from collections import Counter
from itertools import combinations
from typing import NamedTuple


class FlatHAG(NamedTuple):
    """A HAG's flat tensors as lists."""

    src: list
    agg: list
    src_count: list
    agg_count: list
    dst: list
    group_aggs: list
    group_dsts: list


def flat_hag(edge_index, size, capacity=None, min_redundancy=2):
    """The HAG of greedy search."""
    num_dst = size[1]
    rows = rows_of_items(edge_index, num_dst)
    parts = components(rows)
    numbered, merges = [], []
    for part in parts:
        origin, local = number_items([rows[v] for v in part])
        merges.append(greedy(local, len(origin), min_redundancy))
        numbered.append((origin, local))
    allowed = within_capacity(merges, capacity)

    hag = FlatHAG([], [], [], [], [], [], [])
    for c, (part, (origin, local)) in enumerate(zip(parts, numbered, strict=True)):
        aggregates = {len(origin) + k: set(xy) for k, (xy, _) in enumerate(merges[c])}
        inline(aggregates, local, {len(origin) + k for k in allowed[c]})
        number = {x: hag_size(hag) + i for i, x in enumerate(sorted(aggregates))}
        for inputs in [*(aggregates[x] for x in sorted(aggregates)), *local]:
            sources = sorted(origin[x] for x in inputs if x < len(origin))
            others = sorted(number[x] for x in inputs if x >= len(origin))
            hag.src.extend(sources)
            hag.agg.extend(others)
            hag.src_count.append(len(sources))
            hag.agg_count.append(len(others))
        hag.dst.extend(part)
        hag.group_aggs.append(len(aggregates))
        hag.group_dsts.append(len(part))
    empty = [v for v in range(num_dst) if not rows[v]]
    if empty:
        hag.src_count.extend(0 for _ in empty)
        hag.agg_count.extend(0 for _ in empty)
        hag.dst.extend(empty)
        hag.group_aggs.append(0)
        hag.group_dsts.append(len(empty))
    return hag


def hag_size(hag):
    """The number of aggregates so far."""
    return sum(hag.group_aggs)


def rows_of_items(edge_index, num_dst):
    """Each row as a set of items (k, u): the k-th copy of source u."""
    rows = [set() for _ in range(num_dst)]
    for (u, v), copies in Counter(map(tuple, edge_index.t().tolist())).items():
        rows[v] |= {(k, u) for k in range(copies)}
    return rows


def components(rows):
    """The numbers of the rows that hang together, by their first; no empty rows."""
    parts = []
    left = [v for v, row in enumerate(rows) if row]
    while left:
        part, items = [left[0]], set(rows[left[0]])
        while more := [v for v in left if v not in part and rows[v] & items]:
            part += more
            items = items.union(*(rows[v] for v in more))
        parts.append(sorted(part))
        left = [v for v in left if v not in part]
    return parts


def number_items(rows):
    """The source of each item, and the rows as sets of numbers.

    (k, u) sorts as items are numbered: the sources, then their second copies, ...
    """
    items = sorted(set().union(*rows))
    number = {item: i for i, item in enumerate(items)}
    return [u for _, u in items], [{number[x] for x in row} for row in rows]


def greedy(rows, num_items, min_redundancy):
    """Merges pairs in the rows, in place: a list of ((x, y), rows that shared it)."""
    merges = []
    while True:
        shared = Counter(xy for row in rows for xy in combinations(sorted(row), 2))
        if not shared:
            return merges
        count, y, x = max((count, y, x) for (x, y), count in shared.items())
        if count < min_redundancy:
            return merges
        for row in rows:
            if x in row and y in row:
                row -= {x, y}
                row.add(num_items + len(merges))
        merges.append(((x, y), count))


def within_capacity(merges, capacity):
    """For each component, the steps among the `capacity` most shared of all."""
    steps = [
        (-shared, c, k)
        for c, steps in enumerate(merges)
        for k, (_, shared) in enumerate(steps)
    ]
    chosen = sorted(steps)[:capacity]
    return [{k for _, c2, k in chosen if c2 == c} for c in range(len(merges))]


def inline(aggregates, rows, allowed):
    """Puts its inputs for every aggregate that is not allowed or is read once."""
    for x in sorted(aggregates, reverse=True):  # readers before what they read
        readers = [row for row in [*aggregates.values(), *rows] if x in row]
        if x not in allowed or len(readers) < 2:
            for row in readers:
                row.remove(x)
                row |= aggregates[x]
            del aggregates[x]
