"""HAGs that are derived from others in compiled code."""

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG, Handle, unknown_in_compiled_code
from pyg_hag.hag.edge_weights import EdgeWeights

REVERSING = "t", "transposed"
"""The views that swap sources and destinations."""
_OTHER_LOOPS = "with_self_loops", "with_missing_loops", "without_self_loops"
_SAME_EDGES = (*REVERSING, "without_aggregates")


class SymbolicHAG(AbstractHAG):
    """A placeholder of a HAG that is derived from another one when the code runs.

    Operators get the tensors of the other HAG and the views that lead from it to this
    one; each view is computed once per HAG.

    Args:
        base (AbstractHAG): The HAG that it is derived from.
        view (str): The method of :class:`pyg_hag.HAG` that returns it: `"t"`,
            `"transposed"`, `"closed"`, `"with_self_loops"`, `"with_missing_loops"`,
            `"without_self_loops"` or `"without_aggregates"`.
    """

    def __init__(self, base: AbstractHAG, view: str) -> None:
        self.base = base
        if view == "with_self_loops" and base.of_paths:
            view = "with_missing_loops"  # which leaves the paths that there are
        self.view = view
        self._reverses = view in REVERSING

    @property
    def handle(self) -> Handle:
        """This HAG as the argument of `torch.library` operators."""
        tensors, num_src, views = self.base.handle
        return tensors, num_src, f"{views}{self.view}."

    @property
    def num_src(self) -> int:
        """Number of sources."""
        return self.base.num_dst if self._reverses else self.base.num_src

    @property
    def num_dst(self) -> int:
        """Number of destinations."""
        return self.base.num_src if self._reverses else self.base.num_dst

    @property
    def num_aggregates(self) -> int:
        """Number of intermediate aggregation nodes."""
        if self.view == "without_aggregates":
            return 0
        if self.view in _OTHER_LOOPS:
            unknown_in_compiled_code("num_aggregates")
        return self.base.num_aggregates

    @property
    def num_edges(self) -> int:
        """Number of edges of the graph that the HAG represents."""
        if self.view not in _SAME_EDGES:
            unknown_in_compiled_code("num_edges")
        return self.base.num_edges

    @property
    def is_sequential(self) -> bool:
        """Always False: derived HAGs are set HAGs."""
        return False

    @property
    def is_signed(self) -> bool:
        """Whether rows may subtract inputs."""
        keeps = self._reverses or self.view == "with_missing_loops"
        return keeps and self.base.is_signed

    @property
    def weights(self) -> EdgeWeights | None:
        """The weights of the edges, or None if all are 1."""
        weights = self.base.weights
        if self.view not in _SAME_EDGES and not self.base.of_paths:
            return None
        return weights if weights is None or not self._reverses else weights.t()

    @property
    def unweighted(self) -> AbstractHAG:
        """The HAG without weights."""
        return SymbolicHAG(self.base.unweighted, self.view)

    @property
    def covered(self) -> AbstractHAG:
        """The HAG that :attr:`is_cover`, of the same paths."""
        return self if self.is_cover else SymbolicCover(self.unweighted)

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.base.device

    @property
    def tensors(self) -> list[Tensor]:
        """Raises an error: unknown before the code runs."""
        unknown_in_compiled_code("tensors")

    @property
    def stats(self) -> object:
        """Raises an error: unknown before the code runs."""
        unknown_in_compiled_code("stats")

    def t(self) -> "SymbolicHAG":
        """Returns the HAG with every edge reversed."""
        return SymbolicHAG(self, "t")

    def transposed(self) -> "SymbolicHAG":
        """Returns a HAG of the transposed graph."""
        return SymbolicHAG(self, "transposed")

    def closed(self) -> tuple[AbstractHAG, Tensor]:
        """Returns the HAG in which no destination subtracts itself.

        See :meth:`pyg_hag.HAG.closed`.
        """
        return closed_view(self)

    def with_self_loops(self) -> "SymbolicHAG":
        """Returns the HAG in which every node has exactly one self-loop."""
        return SymbolicHAG(self, "with_self_loops")

    def without_self_loops(self) -> "SymbolicHAG":
        """Returns a HAG of the graph without its self-loops."""
        return SymbolicHAG(self, "without_self_loops")

    def without_aggregates(self) -> "SymbolicHAG":
        """Returns the plain HAG of the graph, which knows the order of its edges."""
        return SymbolicHAG(self, "without_aggregates")

    def edge_index_of_any_order(self) -> Tensor:
        """The edges in the order they were given in, or sorted if it is unknown."""
        if self.view not in _SAME_EDGES:
            unknown_in_compiled_code("edge_index")
        edge_index = self.base.edge_index_of_any_order()
        return edge_index.flip(0) if self._reverses else edge_index

    def edge_weight_of_any_order(self) -> Tensor | None:
        """The weights of these edges, or None if all are 1."""
        if self.view not in _SAME_EDGES:
            unknown_in_compiled_code("edge_weight")
        return self.base.edge_weight_of_any_order()

    def edge_index_in_order(self, name: str) -> Tensor:
        """The edges in the order in which they were given."""
        if self.view not in _SAME_EDGES:
            raise ValueError(
                f"'{name}' cannot be used with self-loops in compiled code"
            )
        edge_index = self.base.edge_index_in_order(name)
        return edge_index.flip(0) if self._reverses else edge_index


class SymbolicCover(SymbolicHAG):
    """The HAG that is a cover, of the same paths as another one.

    Args:
        base (AbstractHAG): The other one, of which each path is an edge.
    """

    def __init__(self, base: AbstractHAG) -> None:
        super().__init__(base, "covered")

    @property
    def handle(self) -> Handle:
        """The HAG in which each path is an edge, as the argument of operators."""
        return self.base.handle

    @property
    def is_signed(self) -> bool:
        """Whether rows may subtract inputs."""
        return self.base.is_signed

    @property
    def weights(self) -> EdgeWeights:
        """What the paths are."""
        return EdgeWeights.cover()

    @property
    def unweighted(self) -> AbstractHAG:
        """The HAG in which each path is an edge."""
        return self.base


def closed_view(hag: AbstractHAG) -> tuple[AbstractHAG, Tensor]:
    """The result of `hag.closed()` in compiled code."""
    if hag.is_signed:
        added = torch.ops.pyg_hag.added_loops(*hag.handle)
        return SymbolicHAG(hag, "closed"), added
    return hag, torch.zeros(hag.num_dst, dtype=torch.long, device=hag.device)
