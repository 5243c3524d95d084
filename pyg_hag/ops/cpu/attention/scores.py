"""Emits the scores of edges: what differs between kinds of attention.

`gat`: leaky_relu(key_j + query_i + term_ij), numbers for each head (Velickovic et al.,
ICLR 2018). `gatv2`: att . leaky_relu(key_j + query_i + term_ij) of features (Brody et
al., ICLR 2022). `dot`: query_i . (key_j + term_ij) times a scale (Shi et al., IJCAI
2021), where the term belongs to the value, too.
"""

from typing import Any

from pyg_hag.ops.cpu.attention.program import Edge, RowEmitter
from pyg_hag.ops.cpu.formats import ACCUMULATORS


class Ends:
    """The features of both ends of an edge, of which those of the row are loaded once.

    Args:
        emitter: The emitter of a row.
        at_dst: Whether rows are destinations.
    """

    def __init__(self, emitter: RowEmitter, at_dst: bool) -> None:
        self.emitter, self.at_dst = emitter, at_dst
        self.lanes, self.block = emitter.lanes, emitter.block
        self._held: dict[tuple[str, int], Any] = {}

    def hold(self, *names: str) -> None:
        """Loads features of the row into registers, if these suffice.

        Args:
            *names: Arrays of the row's own features, or `att`.
        """
        count = self.emitter.program.vectors
        if count * len(names) > ACCUMULATORS:
            return
        for name in names:
            for t in range(count):
                value = self.att(t) if name == "att" else self.vector(name, None, t)
                self._held[name, t] = value

    def vector(self, name: str, edge: Edge | None, t: int) -> Any:
        """Vector t of features by the name of their array; no edge: the row's own."""
        if (name, t) in self._held:
            return self._held[name, t]
        is_dst = name in ("query", "grad")
        node = self.emitter.row
        if edge is not None and is_dst != self.at_dst:
            node = edge.other
        place = self.emitter.features_of(getattr(self.block, name), node)
        return self.lanes.load(place, t)

    def att(self, t: int) -> Any:
        """Vector t of the attention vector."""
        if ("att", t) in self._held:
            return self._held["att", t]
        place = self.emitter.b.add(self.block.att, self.emitter.first_feature)
        return self.lanes.load(place, t)

    def term(self, edge: Edge, t: int) -> Any:
        """Vector t of the edge's own features."""
        place = self.emitter.features_of(self.block.edge_term, edge.number)
        return self.lanes.load(place, t)

    def with_term(self, value: Any, edge: Edge, t: int) -> Any:
        """A vector plus that of the edge, if edges have any."""
        if not self.emitter.program.has_edges:
            return value
        return self.lanes.add(value, self.term(edge, t))

    def argument(self, edge: Edge, t: int) -> Any:
        """Vector t of what GATv2 applies its leaky ReLU to."""
        both = self.lanes.add(
            self.vector("key", edge, t), self.vector("query", edge, t)
        )
        return self.with_term(both, edge, t)

    def value(self, edge: Edge, t: int) -> Any:
        """Vector t of what is summed over the edges."""
        value = self.vector("value", edge, t)
        if self.emitter.program.kind != "dot":
            return value
        return self.with_term(value, edge, t)

    def score(self, edge: Edge) -> Any:
        """The scores of an edge from its features, folded; not those of `gat`."""
        lanes, emitter = self.lanes, self.emitter
        total = lanes.constant(0.0)
        for t in range(emitter.program.vectors):
            if emitter.program.kind == "gatv2":
                argument = self.argument(edge, t)
                active = lanes.leaky(argument, emitter.number("slope"))
                total = lanes.fma(self.att(t), active, total)
            else:
                key = self.with_term(self.vector("key", edge, t), edge, t)
                total = lanes.fma(self.vector("query", edge, t), key, total)
        if emitter.program.kind == "dot":
            total = lanes.mul(total, emitter.number("scale"))
        return lanes.fold(total, lanes.add)

    def product(self, edge: Edge) -> Any:
        """The inner products of the gradient and the value of an edge, folded."""
        lanes = self.lanes
        total = lanes.constant(0.0)
        for t in range(self.emitter.program.vectors):
            grad = self.vector("grad", edge, t)
            total = lanes.fma(grad, self.value(edge, t), total)
        return lanes.fold(total, lanes.add)
