"""The HAG container: what it is. No search, no kernel."""

import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from pyg_hag import _derived, _structure
from pyg_hag._derived import FIELDS
from pyg_hag._forms import to_adj_t
from pyg_hag._stats import HAGStats
from pyg_hag._validation import (
    check_vectors,
    prove_paths_are_edges,
    prove_single_paths,
    raise_structure_error,
)

T = TypeVar("T")

MAX_NODES = 2**31 - 1  # the kernels index with 32 bits

Handle = tuple[list[Tensor], int, str]
"""A HAG as operators of `torch.library` take it: see `_views.py`."""


class HAG:
    r"""A hierarchically aggregated graph: an immutable container of flat tensors.

    A HAG consists of *rows*: intermediate *aggregates* and *destinations*. Each row
    reduces its *inputs*, which are sources and aggregates. It stands for a graph
    when every edge :math:`(u, v)` is exactly one path from source :math:`u` to
    destination :math:`v` and there is no other path; then sum, mean, max and min
    over the HAG equal those over the graph (Jia et al., *Redundancy-Free
    Computation for Graph Neural Networks*, KDD 2020, Section 3).

    A *signed* HAG may subtract inputs: it stands for a graph when the paths that add
    less those that subtract are the edges. Sum and mean are then those of the graph,
    but for rounding, and for values that are not finite: an infinity or NaN that is
    added and subtracted leaves NaN. There is no signed maximum.

    Rows are stored in the order in which they run, group by group: in each group
    first its aggregates (an aggregate reads only earlier aggregates of its group),
    then its destinations. No two groups read the same source, so groups can run
    side by side, in both directions. Inputs are stored as counts and as separate
    source and aggregate numbers, so that HAGs concatenate by plain offsets.

    Use :func:`pyg_hag.build_hag` to make one.

    Args:
        num_src (int): Number of sources.
        src (torch.Tensor): Source inputs of all rows, row by row.
        agg (torch.Tensor): Aggregate inputs of all rows, row by row. Aggregates
            are numbered in the order of their rows.
        src_count (torch.Tensor): Number of source inputs of each row.
        agg_count (torch.Tensor): Number of aggregate inputs of each row.
        dst (torch.Tensor): The destination of each destination row: every number
            from 0 to `num_dst - 1` once.
        group_aggs (torch.Tensor): Number of aggregates of each group.
        group_dsts (torch.Tensor): Number of destinations of each group.
        src_minus (torch.Tensor, optional): How many of each row's source inputs, the
            last ones, are subtracted. Empty if there are none in any row.
        agg_minus (torch.Tensor, optional): The same for its aggregate inputs.
        sequential (bool): Whether the order of inputs means something. A row then
            reads its one aggregate, if any, before its sources, so that its
            neighbours stand in the order in which an aggregator such as an LSTM
            reads them (the paper's second case). (default: :obj:`False`)

    All tensors are one-dimensional, int64 and on one device.

    Raises:
        TypeError: If a tensor is not one-dimensional int64.
        ValueError: If the tensors do not describe a HAG, or a row of a sequential one
            reads two aggregates or subtracts.
    """

    num_src: int
    src: Tensor
    agg: Tensor
    src_count: Tensor
    agg_count: Tensor
    dst: Tensor
    group_aggs: Tensor
    group_dsts: Tensor
    src_minus: Tensor
    agg_minus: Tensor

    def __init__(
        self,
        num_src: int,
        src: Tensor,
        agg: Tensor,
        src_count: Tensor,
        agg_count: Tensor,
        dst: Tensor,
        group_aggs: Tensor,
        group_dsts: Tensor,
        src_minus: Tensor | None = None,
        agg_minus: Tensor | None = None,
        *,
        sequential: bool = False,
    ) -> None:
        check_vectors({"src": src})  # like which the missing ones are made
        none = src.new_empty(0)
        src_minus = none if src_minus is None else src_minus
        agg_minus = none if agg_minus is None else agg_minus
        tensors = (
            src, agg, src_count, agg_count, dst, group_aggs, group_dsts, src_minus,
            agg_minus,
        )  # fmt: skip
        if isinstance(num_src, bool) or not isinstance(num_src, int):
            raise TypeError(f"'num_src' must be an int (got {num_src!r})")
        if not 0 <= num_src <= MAX_NODES:
            raise ValueError(f"'num_src' must be in [0, 2**31) (got {num_src})")
        check_vectors(dict(zip(FIELDS, tensors, strict=True)))
        if not isinstance(sequential, bool):
            raise TypeError(f"'sequential' must be a bool (got {sequential!r})")
        if not src_minus.any() and not agg_minus.any():
            tensors = (*tensors[:-2], src_minus[:0], agg_minus[:0])
        self._set(num_src, tuple(t.contiguous() for t in tensors), sequential)
        self._check_structure()

    def _set(self, num_src: int, tensors: Sequence[Tensor], sequential: bool) -> None:
        values = self.__dict__
        values["num_src"] = num_src
        values["_sequential"] = sequential
        values.update(zip(FIELDS, tensors, strict=True))
        values["_cache"] = {}
        if tensors[2].numel() > 0:
            _live[_address(tensors)] = self

    @classmethod
    def _trusted(
        cls, num_src: int, tensors: Sequence[Tensor], sequential: bool = False
    ) -> "HAG":
        """Makes a HAG of tensors that are known to describe one."""
        hag = cls.__new__(cls)
        missing = len(FIELDS) - len(tensors)
        hag._set(num_src, [*tensors, *[tensors[0].new_empty(0)] * missing], sequential)
        return hag

    @classmethod
    def _of(cls, num_src: int, tensors: Sequence[Tensor]) -> "HAG":
        """The living HAG that owns these very tensors, else a new one of them.

        Lets an operator that can take tensors alone find what is cached on the HAG.
        """
        hag = _live.get(_address(tensors))
        if hag is not None and hag.num_src == num_src:
            return hag
        return cls(num_src, *tensors)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"cannot set '{name}': a HAG is immutable; build a new one"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete '{name}': a HAG is immutable")

    # Sizes ####################################################################

    @property
    def tensors(self) -> list[Tensor]:
        """The flat tensors, in the order of the constructor's arguments."""
        return [getattr(self, name) for name in FIELDS]

    @property
    def _handle(self) -> Handle:
        """What operators of `torch.library` take for this HAG."""
        return self.tensors, self.num_src, ""

    @property
    def is_sequential(self) -> bool:
        """Whether rows read their inputs in order: the aggregate, then the sources."""
        return self._sequential  # type: ignore[attr-defined]

    @property
    def is_signed(self) -> bool:
        """Whether rows may subtract inputs."""
        return self.src_minus.numel() > 0

    @property
    def num_dst(self) -> int:
        """Number of destinations."""
        return self.dst.numel()

    @property
    def num_aggregates(self) -> int:
        """Number of intermediate aggregation nodes."""
        return self.src_count.numel() - self.dst.numel()

    @property
    def num_edges(self) -> int:
        """Number of edges of the graph that the HAG stands for."""
        return self._cached("num_edges", lambda: _derived.total(self._paths()[0]))

    @property
    def in_degree(self) -> Tensor:
        """Number of edges into each destination, int64 of shape `[num_dst]`."""
        return self._cached("in_degree", self._in_degree)

    @property
    def self_loops(self) -> Tensor:
        """Number of self-loops of each node, int64 of shape `[num_dst]`."""
        return self._cached("self_loops", self._self_loops)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.src.device

    @property
    def stats(self) -> HAGStats:
        """What the HAG costs, next to the plain graph."""
        decision: str = self._cache.get("decision", "")  # type: ignore[attr-defined]
        return self._cached("stats", lambda: _derived.stats(self, decision))

    # Views ####################################################################

    def to(self, device: torch.device | str | int) -> "HAG":
        """Returns the HAG on `device` (itself if it is there already)."""
        if self.src[:0].to(device).device == self.device:
            return self
        moved = torch.cat(self.tensors).to(device)  # at once
        tensors = moved.split([t.numel() for t in self.tensors])
        hag = HAG._trusted(self.num_src, tensors, self.is_sequential)
        known: dict[Hashable, Any] = self._cache  # type: ignore[attr-defined]
        if "given" in known:
            hag._knows(known["given"].to(device))
        if self.device.type == "cpu":
            self._arrays()
        # On the host, or of no device:
        for key in ("arrays", "paths", "decision", "symmetric"):
            if key in known:
                hag._cache[key] = known[key]  # type: ignore[attr-defined]
        return hag

    def t(self) -> "HAG":
        """Returns the HAG with every arrow turned round.

        It stands for the graph's transpose, and is computed once: paths stay
        unique, so no search is needed. It is a set HAG, also where this one is
        sequential: a node's readers have no order.
        """
        if torch.compiler.is_compiling():
            from pyg_hag._views import View

            return View(self, "t")
        return self._cached("t", self._transpose)

    def _transpose(self) -> "HAG":
        hag = HAG._trusted(self.num_dst, _derived.transposed(self)).to(self.device)
        given: Tensor | None = self._cache.get("given")  # type: ignore[attr-defined]
        return hag if given is None else hag._knows(given.flip(0))

    def _turned(self) -> "HAG":
        """A HAG of the transposed graph: this one, if that is the same graph."""
        same = self._cached("symmetric", lambda: _derived.equals_transpose(self))
        return self if same else self.t()

    def closed(self) -> tuple["HAG", Tensor]:
        """Returns the HAG of closed neighbourhoods, where this one subtracts the self.

        A row of a signed HAG often is that of the closed neighbourhood less the node
        itself. A layer that adds the node anyway need not subtract it first:
        `aggregate(x, hag) + x` equals `aggregate(x, closed) + (1 - added) * x`.

        Returns:
            tuple[HAG, torch.Tensor]: The HAG, with a self-loop more on some nodes (the
            HAG itself if there are none), and how many each node got, int64 of shape
            `[num_dst]`. Computed once.
        """
        if torch.compiler.is_compiling():
            from pyg_hag._views import View
            from pyg_hag.ops.degrees import added_loops

            if self.is_signed:
                return View(self, "closed"), added_loops(*self._handle)
            return self, torch.zeros(self.num_dst, dtype=torch.long, device=self.device)
        return self._cached("closed", self._close)

    def _close(self) -> tuple["HAG", Tensor]:
        if not self.is_signed:
            return self, torch.zeros_like(self.dst)
        tensors, added = _derived.closed(self)
        hag = HAG._trusted(self.num_src, tensors).to(self.device)
        return hag, added.to(self.device)

    @property
    def edge_index(self) -> Tensor:
        """The graph's edges, `[2, num_edges]`: as they were given, if still known.

        A HAG that was loaded or copied does not know the order any more:
        :meth:`to_edge_index` then gives one.
        """
        return self._cached("edge_index", self.to_edge_index)

    def edge_index_in_order(self, name: str) -> Tensor:
        """The edges in the order in which they were given.

        Args:
            name (str): What is given edge by edge in that order, for the error.

        Raises:
            ValueError: If the order is not known any more.
        """
        given: Tensor | None = self._cache.get("given")  # type: ignore[attr-defined]
        if given is None:
            raise ValueError(
                f"'{name}' is given edge by edge, but this HAG does not know the "
                f"order of its edges (it was loaded or copied): use 'data.hag' or "
                f"'build_hag(edge_index)'"
            )
        return given

    def _knows(self, edge_index: Tensor) -> "HAG":
        """Notes the edges in the order in which they were given."""
        cache: dict[Hashable, Any] = self._cache  # type: ignore[attr-defined]
        cache["given"] = cache["edge_index"] = edge_index
        return self

    def to_edge_index(self) -> Tensor:
        """Expands back to the graph's edges, duplicates included.

        Returns:
            torch.Tensor: int64 of shape `[2, num_edges]` (sources, destinations),
            sorted by destination and then by source.
        """
        ptr, col = self._csr()
        dst = np.repeat(np.arange(self.num_dst), np.diff(ptr))
        return torch.from_numpy(np.stack([col, dst])).to(self.device)

    def to_adj_t(self, layout: torch.layout | None = None) -> Any:
        """Expands back to the transposed adjacency matrix, as PyG's layers take it.

        Args:
            layout (torch.layout, optional): `torch.sparse_csr`, `torch.sparse_csc` or
                `torch.sparse_coo`. If None, a `torch_sparse.SparseTensor` where that
                package is installed, else `torch.sparse_csr`.

        Returns:
            torch_sparse.SparseTensor or torch.Tensor: Of shape `[num_dst, num_src]`,
            with an entry (v, u) for each edge from u to v, duplicates included; those
            of a sparse tensor are 1.
        """
        return to_adj_t(self.to_edge_index(), (self.num_src, self.num_dst), layout)

    def validate(self, edge_index: Tensor | None = None) -> None:
        """Proves that paths and edges are one-to-one.

        Without a graph, proves that no source reaches a destination along two
        paths, which holds for every graph without duplicate edges.

        Args:
            edge_index (torch.Tensor, optional): The graph, of shape `[2, E]`, with
                or without duplicate edges: each edge must be exactly one path, and
                there must be no other.

        Raises:
            ValueError: If that does not hold, with an edge where it fails.
        """
        self._check_structure()
        if edge_index is None:
            prove_single_paths(self)
        else:
            prove_paths_are_edges(self, edge_index)

    # Files ####################################################################

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the HAG to `path`, an uncompressed .npz file of plain arrays."""
        from pyg_hag._io import save_hag

        save_hag(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "HAG":
        """Reads a HAG that :meth:`save` has written.

        Nothing from the file is executed, and its structure is checked before use.

        Raises:
            ValueError: If the file is not a HAG, or was cut off or changed.
        """
        from pyg_hag._io import load_hag

        return load_hag(path)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"_sequential": True} if self.is_sequential else None
        return HAG, (self.num_src, *self.tensors), state

    def __copy__(self) -> "HAG":
        return self

    # Comparison and display ###################################################

    def __eq__(self, other: object) -> bool:
        """Same kind and tensors, on the same device: the same rows in order."""
        if not isinstance(other, HAG):
            return NotImplemented
        return self is other or (
            self.num_src == other.num_src
            and self.is_sequential == other.is_sequential
            and self.device == other.device
            and all(map(torch.equal, self.tensors, other.tensors))
        )

    def __hash__(self) -> int:
        return hash((self.num_src, *(t.numel() for t in self.tensors)))

    def __repr__(self) -> str:
        s = self.stats
        name, cost = ("reads", s.reads) if s.steps is None else ("steps", s.steps)
        saved = 1 - cost / s.num_edges if s.num_edges else 0.0
        return (
            f"HAG(num_src={self.num_src}, num_dst={self.num_dst}, "
            f"num_aggregates={s.num_aggregates}, {name}={cost}, saved={saved:.0%})"
        )

    def _repr_html_(self) -> str:
        return self.stats.to_html(self.num_src, self.num_dst)

    # Internals ################################################################

    def _decided(self, decision: str) -> "HAG":
        """Notes what the search chose and why, for :attr:`stats`."""
        self._cached("decision", lambda: decision)
        return self

    def _cached(self, key: Hashable, make: Callable[[], T]) -> T:
        cache: dict[Hashable, Any] = self._cache  # type: ignore[attr-defined]
        if key not in cache:
            cache[key] = make()
        return cache[key]

    def _arrays(self) -> dict[str, Any]:
        """The tensors as NumPy arrays, with row pointers and row kinds."""
        return self._cached("arrays", lambda: _derived.arrays(self))

    def _paths(self) -> tuple[Any, int, Any]:
        return self._cached("paths", lambda: _derived.paths(self))

    def _csr(self) -> tuple[Any, Any]:
        """The graph in CSR form: row pointers by destination, sorted sources."""
        return _derived.csr(self)

    def _in_degree(self) -> Tensor:
        return torch.from_numpy(self._paths()[0]).to(self.device)

    def _self_loops(self) -> Tensor:
        if self.num_src != self.num_dst:
            raise ValueError(
                f"self-loops need as many sources as destinations (got "
                f"{self.num_src} sources and {self.num_dst} destinations)"
            )
        loops = _structure.count_self_loops(*self._csr())
        return torch.from_numpy(loops).to(self.device)

    def _check_structure(self) -> None:
        arrays = [tensor.cpu().numpy() for tensor in self.tensors]
        owner = np.zeros(self.num_src, np.int32)
        fault, where = _structure.check(self.num_src, *arrays, owner)
        if fault != _structure.OK:
            raise_structure_error(fault, int(where))
        if self.is_sequential and arrays[3].max(initial=0) > 1:
            row = int(arrays[3].argmax())
            raise ValueError(
                f"the tensors are not a sequential HAG: row {row} reads "
                f"{arrays[3][row]} aggregates, but only one can come first; use "
                f"'build_hag' with order='sequential' to make it"
            )
        if self.is_sequential and self.is_signed:
            raise ValueError(
                "the tensors are not a sequential HAG: 'src_minus' is not empty, but "
                "no step can be taken back"
            )


_live: "WeakValueDictionary[tuple[int, ...], HAG]" = WeakValueDictionary()
"""Living HAGs by the addresses and sizes of their tensors."""


def _address(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(x for t in tensors for x in (t.data_ptr(), t.numel()))
