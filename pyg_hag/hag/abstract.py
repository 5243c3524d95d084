"""The interface of HAGs and of their stand-ins in compiled code."""

from typing import TYPE_CHECKING, List, NoReturn  # noqa: UP035

import torch
from torch import Tensor

from pyg_hag.hag.edge_weights import COUNT, COVER, EdgeWeights

TensorList = List[Tensor]  # noqa: UP006
"""`list[Tensor]`, which operators of PyTorch 2.6 know by this name only."""
Handle = tuple[TensorList, int, str]
"""A HAG as the argument of `torch.library` operators: the tensors of a HAG, its number
of sources, and the views that lead from it to this one; see
:mod:`pyg_hag.hag.library`."""


_NO_EDGES = (
    "it takes the place of 'edge_index' in the layers of 'to_hag(model)' only; for the "
    "edges, use 'hag.to_edge_index()' or 'data.edge_index'"
)


class AbstractHAG:
    """A graph over which kernels reduce: a :class:`pyg_hag.HAG`, or a view of one.

    In code that is compiled by `torch.compile`, whatever is computed from a HAG is a
    call of an operator, and a HAG that is derived from another one is a
    :class:`~pyg_hag.hag.symbolic.SymbolicHAG`.
    """

    @property
    def handle(self) -> Handle:
        """This HAG as the argument of `torch.library` operators."""
        raise NotImplementedError

    @property
    def num_src(self) -> int:
        """Number of sources."""
        raise NotImplementedError

    @property
    def num_dst(self) -> int:
        """Number of destinations."""
        raise NotImplementedError

    @property
    def num_aggregates(self) -> int:
        """Number of intermediate aggregation nodes."""
        raise NotImplementedError

    @property
    def num_edges(self) -> int:
        """Number of edges of the graph that the HAG represents."""
        raise NotImplementedError

    @property
    def is_sequential(self) -> bool:
        """Whether rows read their inputs in order: the aggregate, then the sources."""
        raise NotImplementedError

    @property
    def is_signed(self) -> bool:
        """Whether rows may subtract inputs."""
        raise NotImplementedError

    @property
    def weights(self) -> EdgeWeights | None:
        """The weights of the edges, or None if all are 1."""
        raise NotImplementedError

    @property
    def of_paths(self) -> str:
        """What several paths with the same ends are, `""` if an edge each.

        See :attr:`is_count` and :attr:`is_cover`.
        """
        weights = self.weights
        return "" if weights is None else weights.of_paths

    @property
    def is_count(self) -> bool:
        """Whether all paths with the same ends are one edge, which weighs their number.

        Sums run over the paths, and means divide them by the number of edges.
        """
        return self.of_paths == COUNT

    @property
    def is_cover(self) -> bool:
        """Whether all paths with the same ends are one edge, which weighs 1.

        Only maxima and minima are those of the graph. Where several sources attain one,
        its gradient is divided among them in proportion to their paths.
        """
        return self.of_paths == COVER

    @property
    def covered(self) -> "AbstractHAG":
        """The HAG that :attr:`is_cover`, of the same paths."""
        raise NotImplementedError

    @property
    def unread_weights(self) -> bool:
        """Whether the data has one number per edge under a name that layers do not get.

        A layer that takes weights then warns if it gets none.
        """
        return False

    @property
    def unweighted(self) -> "AbstractHAG":
        """The HAG without weights."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        raise NotImplementedError

    @property
    def in_degree(self) -> Tensor:
        """Number of edges into each destination, int64 of shape `[num_dst]`."""
        return self._traced_degree()

    @property
    def self_loops(self) -> Tensor:
        """Number of self-loops of each node, int64 of shape `[num_dst]`."""
        return self._traced_loops()

    def _traced_degree(self) -> Tensor:
        return self._operator("edge_degree" if self.of_paths else "in_degree")

    def _traced_loops(self) -> Tensor:
        self.check_square()
        return self._operator("edge_loops" if self.of_paths else "self_loops")

    def _operator(self, name: str) -> Tensor:
        """The result of an operator of :mod:`pyg_hag.hag.library` for this HAG."""
        out: Tensor = getattr(torch.ops.pyg_hag, name)(*self.handle)
        return out

    def t(self) -> "AbstractHAG":
        """Returns the HAG with every edge reversed."""
        raise NotImplementedError

    def transposed(self) -> "AbstractHAG":
        """Returns a HAG of the transposed graph: this one if the graph is symmetric."""
        raise NotImplementedError

    def closed(self) -> tuple["AbstractHAG", Tensor]:
        """Returns the HAG in which no destination subtracts itself.

        See :meth:`pyg_hag.HAG.closed`.
        """
        raise NotImplementedError

    def with_self_loops(self) -> "AbstractHAG":
        """Returns the HAG of the graph in which every node has exactly one self-loop.

        This is the graph that PyG's `add_remaining_self_loops` returns.
        """
        raise NotImplementedError

    def without_self_loops(self) -> "AbstractHAG":
        """Returns a HAG of the graph without its self-loops."""
        raise NotImplementedError

    def without_aggregates(self) -> "AbstractHAG":
        """Returns the plain HAG of the graph, which knows the order of its edges.

        Raises:
            ValueError: If the order of the edges is not known.
        """
        raise NotImplementedError

    def edge_index_of_any_order(self) -> Tensor:
        """The edges in the order they were given in, or sorted if it is unknown."""
        raise NotImplementedError

    def edge_weight_of_any_order(self) -> Tensor | None:
        """The weights of :meth:`edge_index_of_any_order`, or None if all are 1."""
        raise NotImplementedError

    def edge_index_in_order(self, name: str) -> Tensor:
        """The edges in the order in which they were given.

        Args:
            name (str): The argument that is in the order of the edges, for the error.

        Raises:
            ValueError: If the order is not known.
        """
        raise NotImplementedError

    def __getitem__(self, index: object) -> NoReturn:
        """Raises an error: a HAG is not a list of edges."""
        raise TypeError(f"a HAG has no rows to take {index!r} of: {_NO_EDGES}")

    if not TYPE_CHECKING:  # type checkers would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            reason = "" if name.startswith("_") else f": {_NO_EDGES}"
            raise AttributeError(
                f"'{type(self).__name__}' has no attribute '{name}'{reason}"
            )

    def check_square(self) -> None:
        """Raises a ValueError unless there are as many sources as destinations."""
        if self.num_src != self.num_dst:
            raise ValueError(
                f"self-loops need as many sources as destinations (got {self.num_src} "
                f"sources and {self.num_dst} destinations)"
            )


def unknown_in_compiled_code(name: str) -> NoReturn:
    """Raises the error of an attribute that compiled code cannot read."""
    raise AttributeError(
        f"'{name}' is unknown for a HAG that is made in compiled code: make the HAG "
        f"before, and pass it to the compiled function"
    )
