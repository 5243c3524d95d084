"""What a search chose and why, as a number, so that batches and files carry it."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

NEIGHBOR_ORDERS = "given", "degree", "shared"
"""The orders of lists of neighbours, of which a sequential HAG has some."""


class Reason(IntEnum):
    """Why the HAG is what it is. The numbers are in files."""

    UNKNOWN = 0
    NO_CAPACITY = 1
    FEW_PASSES = 2
    NO_MEMORY = 3
    FEWEST = 4
    NONE_SAVES = 5
    PAYS = 6
    PAYS_NOT = 7
    NO_SEARCH = 8
    SEQUENTIAL = 9
    NOT_WORTH = 10


_BITS = {
    "reason": 4,
    "is_cut": 1,
    "is_split": 1,
    "percent": 11,
    "width": 14,
    "number": 24,
}  # 55 in all; numbers that are larger are stored as the largest

_TEXTS = {
    Reason.NO_CAPACITY: "plain: 'capacity' is 0",
    Reason.FEW_PASSES: "plain: {number} passes of about {width} microseconds cannot "
    "pay for a search",
    Reason.NO_MEMORY: "plain: no search fits into 'memory_limit'",
    Reason.FEWEST: "HAG of fewest aggregations",
    Reason.NONE_SAVES: "plain: no aggregate saves time",
    Reason.PAYS: "HAG: predicted to take {ratio} of plain's time at {width} features",
    Reason.PAYS_NOT: "plain: a HAG of {number} aggregates was predicted to take "
    "{ratio} of plain's time at {width} features",
    Reason.NO_SEARCH: "plain: no search was asked for",
    Reason.NOT_WORTH: "plain: from a sample of {number} edges, a HAG was predicted to "
    "take {ratio} of plain's time at {width} features",
    Reason.SEQUENTIAL: "sequential HAG: prefixes shared in {orders}",
}


class Decision(NamedTuple):
    """What a search chose and why."""

    reason: int = Reason.UNKNOWN
    is_cut: int = 0
    """Whether 'time_limit' ended the search before it was done."""
    is_split: int = 0
    """Whether the graph was searched part by part to keep to 'memory_limit'."""
    percent: int = 0
    """Predicted time of the HAG, in percent of the plain graph's."""
    width: int = 0
    """Number of features; microseconds of a pass for `FEW_PASSES`; the sum of `2**i`
    over the orders of neighbours for `SEQUENTIAL`."""
    number: int = 0
    """Aggregates of the HAG that does not pay; passes for `FEW_PASSES`; edges of the
    sample for `NOT_WORTH`."""

    @classmethod
    def in_order(cls, names: Iterable[str]) -> "Decision":
        """That of a sequential HAG of lists in these orders."""
        orders = sum(1 << NEIGHBOR_ORDERS.index(name) for name in names)
        return cls(Reason.SEQUENTIAL, width=orders)

    @classmethod
    def of(cls, code: int) -> "Decision":
        """The decision of a number; an unknown one where there is no such number."""
        values = []
        for bits in _BITS.values():
            values.append(code & ((1 << bits) - 1))
            code >>= bits
        known = code == 0 and values[0] in Reason._value2member_map_
        return cls(*values) if known else cls()

    @property
    def code(self) -> int:
        """The decision as a number of 55 bits."""
        code, shift = 0, 0
        for bits, value in zip(_BITS.values(), self, strict=True):
            code |= min(max(int(value), 0), (1 << bits) - 1) << shift
            shift += bits
        return code

    def __str__(self) -> str:
        return describe([self.code])


def describe(codes: Iterable[int]) -> str:
    """What was decided, for one graph or the graphs of a batch, with how many each."""
    kinds: dict[tuple[int, ...], list[Decision]] = {}
    for decision in map(Decision.of, codes):
        if decision.reason != Reason.UNKNOWN:
            orders = decision.width if decision.reason == Reason.SEQUENTIAL else 0
            key = decision.reason, decision.is_cut, decision.is_split, orders
            kinds.setdefault(key, []).append(decision)
    total = sum(map(len, kinds.values()))
    texts = []
    for found in sorted(kinds.values(), key=len, reverse=True):
        graphs = "graph" if len(found) == 1 else "graphs"
        number = f"{len(found):,} {graphs} " if total > 1 else ""
        texts.append(number + _text(found))
    return "; ".join(texts)


def _text(found: list[Decision]) -> str:
    """The text of decisions of one kind."""
    ratios = (d.percent / 100 for d in found)
    text = _TEXTS[Reason(found[0].reason)].format(
        number=_range([d.number for d in found]),
        width=_range([d.width for d in found]),
        ratio=_range([*ratios], ".2f"),
        orders=_orders(found[0].width),
    )
    if found[0].is_split:
        text += ", searched part by part for 'memory_limit'"
    if found[0].is_cut:
        text += "; 'time_limit' cut the search short"
    return text


def _range(values: list[float] | list[int], form: str = "d") -> str:
    low, high = (format(value, form) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _orders(mask: int) -> str:
    names = [repr(n) for i, n in enumerate(NEIGHBOR_ORDERS) if mask >> i & 1][::-1]
    if len(names) < 2:
        return f"{''.join(names)} order"
    return f"the best of {', '.join(names)} order in each component"
