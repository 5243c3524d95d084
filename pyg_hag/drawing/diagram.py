"""A HAG as nodes and arrows."""

from typing import NamedTuple

SOURCE, AGGREGATE, DESTINATION = "source", "aggregate", "destination"


class Node(NamedTuple):
    """A node of a HAG.

    Attributes:
        kind: `"source"`, `"aggregate"` or `"destination"`.
        number: Its number among those of its kind.
        level: 0 for sources; one more than the highest level that it reads for
            aggregates; one more than the highest of all aggregates for destinations.
    """

    kind: str
    number: int
    level: int


class Arrow(NamedTuple):
    """An input of a row.

    Attributes:
        tail: Position of the node that is read, in the list of nodes.
        head: Position of the node that reads it.
        sign: 1, or -1 if it is subtracted.
        order: Its position among the inputs of the row.
    """

    tail: int
    head: int
    sign: int
    order: int


class Diagram(NamedTuple):
    """All nodes and inputs of a HAG."""

    nodes: list[Node]
    arrows: list[Arrow]
    is_sequential: bool
