"""The container `HAG`: its properties and views, its file, and its validation."""

import os

import torch
from torch import Tensor

from pyg_hag.hag import views
from pyg_hag.hag.display import DisplayedHAG
from pyg_hag.hag.io import read_file, write_file
from pyg_hag.hag.symbolic import SymbolicHAG, closed_view
from pyg_hag.hag.verify import (
    check_structure,
    prove_equal,
    prove_single_edges,
    prove_single_paths,
)
from pyg_hag.utils.tensors import kept_property


class HAG(DisplayedHAG):
    r"""A hierarchically aggregated graph: an immutable container of flat tensors.

    A HAG consists of *rows*: intermediate *aggregates* and *destinations*. Each row
    reduces its *inputs*, which are sources and aggregates. It represents a graph
    if every edge :math:`(u, v)` is exactly one path from source :math:`u` to
    destination :math:`v` and there is no other path; then sum, mean, max and min
    over the HAG equal those over the graph (Jia et al., *Redundancy-Free
    Computation for Graph Neural Networks*, KDD 2020, Section 3).

    A *signed* HAG may subtract inputs: it represents a graph if the paths that add
    less those that subtract are its edges. Sum and mean then equal those of the graph
    except for rounding and for values that are not finite: an infinity or NaN that is
    added and subtracted leaves NaN. There is no signed maximum.

    Rows are stored in the order in which they are computed, group by group: in each
    group first its aggregates (an aggregate reads only earlier aggregates of its
    group), then its destinations. No two groups read the same source, so groups can be
    computed in parallel, forward and backward. Inputs are stored as counts and as
    separate source and aggregate numbers, so that HAGs are concatenated by adding
    offsets.

    Duplicate edges are several paths with the same ends. In a product of matrices these
    are one edge instead, which weighs their number (:attr:`is_count`), or which weighs
    1 and is for maxima and minima (:attr:`is_cover`); `hag.unweighted` is the HAG in
    which each path is an edge.

    Use :func:`pyg_hag.build_hag` to build one.

    Args:
        num_src (int): Number of sources.
        src (torch.Tensor): Source inputs of all rows, row by row.
        agg (torch.Tensor): Aggregate inputs of all rows, row by row. Aggregates
            are numbered in the order of their rows.
        src_count (torch.Tensor): Number of source inputs of each row.
        agg_count (torch.Tensor): Number of aggregate inputs of each row.
        dst (torch.Tensor): The destination of each destination row: a permutation of
            0 to `num_dst - 1`.
        group_aggs (torch.Tensor): Number of aggregates of each group.
        group_dsts (torch.Tensor): Number of destinations of each group.
        src_minus (torch.Tensor, optional): How many of the source inputs of each row,
            its last ones, are subtracted. Empty if no row subtracts.
        agg_minus (torch.Tensor, optional): The same for its aggregate inputs.
        sequential (bool): Whether the order of inputs matters. A row then reads its
            only aggregate, if any, before its sources, so that its neighbours are in
            the order in which an aggregator such as an LSTM reads them (sequential
            aggregations in the paper). (default: :obj:`False`)

    All tensors are one-dimensional, int64 and on one device.

    Raises:
        TypeError: If a tensor is not one-dimensional int64.
        ValueError: If the tensors do not describe a HAG, or if a row of a sequential
            HAG reads two aggregates or subtracts.
    """

    # Degrees ##################################################################

    @property
    def in_degree(self) -> Tensor:
        """Number of edges into each destination, int64 of shape `[num_dst]`."""
        if torch.compiler.is_compiling():
            return self._traced_degree()
        return self._in_degree

    @property
    def self_loops(self) -> Tensor:
        """Number of self-loops of each node, int64 of shape `[num_dst]`."""
        if torch.compiler.is_compiling():
            return self._traced_loops()
        return self._self_loops

    # Views ####################################################################

    def t(self) -> "HAG":
        """Returns the HAG with every edge reversed.

        It represents the transposed graph and is computed once: paths remain unique,
        so no search is needed. It is a set HAG even if this one is sequential: the
        readers of a node have no order.
        """
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "t")  # type: ignore[return-value]
        return self._t

    def transposed(self) -> "HAG":
        """Returns a HAG of the transposed graph: this one if the graph is symmetric."""
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "transposed")  # type: ignore[return-value]
        if (self.weights is None or self.of_paths) and self.host.is_symmetric:
            return self
        return self._t

    def closed(self) -> tuple["HAG", Tensor]:
        """Returns the HAG in which no destination subtracts itself.

        In a signed HAG, the row of a node is often that of its closed neighbourhood
        less the node itself. A layer that adds the node anyway need not subtract it
        first: `aggregate(x, hag) + x` equals `aggregate(x, closed) + (1 - added) * x`.

        Returns:
            tuple[HAG, torch.Tensor]: The HAG, in which some nodes have more self-loops
            (this HAG if none has), and the number of self-loops added to each node,
            int64 of shape `[num_dst]`. Computed once.
        """
        if torch.compiler.is_compiling():
            return closed_view(self)  # type: ignore[return-value]
        return self._closed

    def with_self_loops(self) -> "HAG":
        """Returns the HAG of the graph in which every node has exactly one self-loop.

        This is the graph that PyG's `add_remaining_self_loops` returns. Computed once,
        without a new search. In a HAG that counts paths, loops keep their weights.
        """
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "with_self_loops")  # type: ignore[return-value]
        return self._with_self_loops

    def with_missing_loops(self) -> "HAG":
        """Returns the HAG with a self-loop for each node that has none.

        Computed once, without a new search.
        """
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "with_missing_loops")  # type: ignore[return-value]
        return self._with_missing_loops

    def without_self_loops(self) -> "HAG":
        """Returns a HAG of the graph without its self-loops: this one if it has none.

        Sums over it are not shared. Computed once.
        """
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "without_self_loops")  # type: ignore[return-value]
        return self._without_self_loops

    def without_aggregates(self) -> "HAG":
        """Returns the plain HAG of the graph, which knows the order of its edges.

        Computed once.

        Raises:
            ValueError: If the order of the edges is not known.
        """
        if torch.compiler.is_compiling():
            return SymbolicHAG(self, "without_aggregates")  # type: ignore[return-value]
        return self._without_aggregates

    def validate(
        self, edge_index: Tensor | None = None, max_edges: int | None = None
    ) -> None:
        """Proves that paths and edges are one-to-one.

        Without a graph, proves that there are no two paths from a source to the same
        destination, which holds for every graph without duplicate edges. If the HAG
        :attr:`is_count` or :attr:`is_cover`, several paths are one edge, and edges must
        be at least one path.

        Args:
            edge_index (torch.Tensor, optional): The graph, of shape `[2, E]`, with or
                without duplicate edges: each edge must be exactly one path, and there
                must be no other path.
            max_edges (int, optional): See :meth:`to_edge_index`; the edges of
                `edge_index` are always listed.

        Raises:
            ValueError: If this does not hold, with an edge for which it fails, or if
                the HAG represents more edges.
        """
        check_structure(self.num_src, self.host.flat, self.is_sequential)
        if edge_index is not None:
            prove_equal(self.host, edge_index, max_edges, self.of_paths)
        elif self.of_paths:
            _ = self.host.distinct  # which has a source for each path
        elif self.is_signed:
            prove_single_edges(*self.host.edge_index(max_edges))
        else:
            prove_single_paths(self.host, max_edges)

    # Files ####################################################################

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the HAG to `path`, an uncompressed .npz file of plain arrays."""
        weights = None if self.weights is None else self.weights_of_file()
        write_file(
            path,
            self.num_src,
            self.host.flat,
            self.is_sequential,
            weights,
            self.decisions,
        )

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "HAG":
        """Reads a HAG from a file that :meth:`save` has written.

        Nothing in the file is executed, and the structure of the HAG is checked.

        Raises:
            ValueError: If the file does not hold a HAG, or is truncated or corrupted.
        """
        return read_file(path, HAG.checked)

    # Computed once ############################################################

    @kept_property
    def _in_degree(self) -> Tensor:
        return torch.from_numpy(self._degree_on_host).to(self.device)

    @kept_property
    def _self_loops(self) -> Tensor:
        self.check_square()
        host = self.host
        loops = host.distinct.self_loops if self.of_paths else host.self_loops
        return torch.from_numpy(loops).to(self.device)

    @kept_property
    def _t(self) -> "HAG":
        return views.transposed(self)

    @kept_property
    def _closed(self) -> tuple["HAG", Tensor]:
        return views.closed(self)

    @kept_property
    def _with_self_loops(self) -> "HAG":
        return views.with_self_loops(self)

    @kept_property
    def _with_missing_loops(self) -> "HAG":
        return views.with_missing_loops(self)

    @kept_property
    def _without_self_loops(self) -> "HAG":
        return views.without_self_loops(self)

    @kept_property
    def _without_aggregates(self) -> "HAG":
        return views.without_aggregates(self)
