"""Where the nodes of a diagram stand: columns by level, few crossings, short lines.

The method of Sugiyama, Tagawa and Toda, *Methods for Visual Understanding of
Hierarchical System Structures*, 1981: lines that pass a column get a place in it; the
columns are ordered by the mean places of neighbours, to and fro; then all are moved as
close to their neighbours as their order and distance allow.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

_ROUNDS = 12  # in which the columns are ordered and moved
_LINE = 0.14  # half the height of a line that passes a column
_STRAIGHT = 3.0  # the weight of a line that passes, next to that of a node

Link = tuple[int, int, int]
"""Tail and head of a line, and its sign."""


class Layout(NamedTuple):
    """Places of nodes and lines.

    Attributes:
        x: The column of each place.
        y: Its height, from the top.
        route: The places from the tail to the head of each link, both included.
    """

    x: list[int]
    y: list[float]
    route: dict[Link, list[int]]


def layout(
    levels: Sequence[int], sizes: Sequence[float], links: Iterable[Link]
) -> Layout:
    """Places nodes; the first places are theirs.

    Args:
        levels: The column of each node; in each, nodes are given from the top.
        sizes: Half the height that each node takes.
        links: The lines. Those with one tail and sign share their way.
    """
    x = [*levels]
    route, ways = {}, dict[tuple[int, int], list[int]]()
    for tail, head, sign in links:
        way = ways.setdefault((tail, sign), [tail])
        while len(way) < x[head] - x[tail]:
            x.append(x[way[-1]] + 1)
            way.append(len(x) - 1)
        route[tail, head, sign] = [*way[: x[head] - x[tail]], head]
    hops = {hop for way in route.values() for hop in pairwise(way)}
    columns = _ordered(x, sorted(hops))
    return Layout(x, _heights(x, columns, hops, sizes), route)


def _neighbors(
    hops: Iterable[tuple[int, int]],
) -> tuple[defaultdict[int, list[int]], ...]:
    """The places before and after each place."""
    before, after = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for a, b in hops:
        before[b].append(a)
        after[a].append(b)
    return before, after


def _ordered(x: Sequence[int], hops: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The places of each column, in an order with few crossings.

    Nodes without lines are the last ones.
    """
    read = {place for hop in hops for place in hop}
    columns: list[list[int]] = [[] for _ in range(max(x, default=-1) + 1)]
    for place in sorted(range(len(x)), key=lambda place: place not in read):
        columns[x[place]].append(place)
    best, fewest = columns, _crossings(columns, x, hops)
    sides = _neighbors(hops)
    for i in range(_ROUNDS):
        if fewest == 0:
            break
        columns = [[*column] for column in columns]
        forth = i % 2 == 0
        rank = {place: r for column in columns for r, place in enumerate(column)}
        for column in columns if forth else columns[::-1]:
            others = sides[0 if forth else 1]
            mean = {p: np.mean([rank[q] for q in others[p] or [p]]) for p in column}
            keys = {p: (p not in read, mean[p], rank[p]) for p in column}
            column.sort(key=keys.__getitem__)
            rank.update({place: r for r, place in enumerate(column)})
        count = _crossings(columns, x, hops)
        if count < fewest:
            best, fewest = columns, count
    return best


def _crossings(
    columns: list[list[int]], x: Sequence[int], hops: Sequence[tuple[int, int]]
) -> int:
    """The number of pairs of lines that cross."""
    rank = {place: r for column in columns for r, place in enumerate(column)}
    between: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for a, b in hops:
        between[x[a]].append((rank[a], rank[b]))
    count = 0
    for pairs in between.values():
        a, b = np.array(pairs).T
        count += int(((a[:, None] < a) & (b[:, None] > b)).sum())
    return count


def _heights(
    x: Sequence[int],
    columns: list[list[int]],
    hops: Iterable[tuple[int, int]],
    sizes: Sequence[float],
) -> list[float]:
    """The height of each place, near the mean of its neighbours' heights."""
    num_lines = len(x) - len(sizes)
    size = [*sizes, *[_LINE] * num_lines]
    starts = []
    y = [0.0] * len(x)
    for column in columns:
        gaps = [size[a] + size[b] for a, b in pairwise(column)]
        start = np.concatenate([[0.0], np.cumsum(gaps)])[: len(column)]
        starts.append(start)
        for place, height in zip(column, start - start[-1:].sum() / 2, strict=True):
            y[place] = float(height)
    before, after = _neighbors(hops)
    weight = [*[1.0] * len(sizes), *[_STRAIGHT] * num_lines]
    for i in range(2 * _ROUNDS):
        for c in range(len(columns))[:: 1 if i % 2 == 0 else -1]:
            column = columns[c]
            wanted = [
                float(np.mean([y[q] for q in [*before[p], *after[p]] or [p]]))
                for p in column
            ]
            shifted = _ascending(
                [w - s for w, s in zip(wanted, starts[c], strict=True)],
                [weight[place] for place in column],
            )
            for place, value, start in zip(column, shifted, starts[c], strict=True):
                y[place] = float(value + start)
    for column in columns:  # nodes without lines follow the others
        for a, b in pairwise(column):
            if not before[b] and not after[b]:
                y[b] = y[a] + size[a] + size[b]
    return y


def _ascending(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The ascending numbers with the least squared distance from the values."""
    blocks: list[list[float]] = []  # sum, weight, count
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value * weight, weight, 1])
        while len(blocks) > 1 and (
            blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]
        ):
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [total / weight for total, weight, n in blocks for _ in range(int(n))]
