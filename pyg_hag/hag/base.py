"""The flat tensors of a HAG as an immutable object, with its sizes."""

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG, Handle
from pyg_hag.hag.arrays import FIELDS
from pyg_hag.hag.decision import Decision, describe
from pyg_hag.hag.edge_weights import EdgeWeights, same_weights
from pyg_hag.hag.host import HostHAG
from pyg_hag.hag.stats import HAGStats
from pyg_hag.hag.verify import (
    check_lengths,
    check_num_src,
    check_structure,
    check_vectors,
)
from pyg_hag.utils.arrays import I64
from pyg_hag.utils.tensors import (
    copied,
    equal,
    is_everywhere,
    ordinary,
    ordinary_tensors,
)

Self = TypeVar("Self", bound="FlatHAG")


class FlatHAG(AbstractHAG):
    """Checks and holds the arguments of :class:`pyg_hag.HAG`, which documents them.

    Attributes:
        host: The arrays on the host, and what is computed from them.
        decisions: What the search chose and why, a number for each graph of a batch:
            see :class:`pyg_hag.hag.decision.Decision`.
        given_edge_index: The edges in the order in which they were given, or None.
        kept: Results of :func:`pyg_hag.hag.memo.once_per_hag`.
    """

    src: Tensor
    agg: Tensor
    src_count: Tensor
    agg_count: Tensor
    dst: Tensor
    group_aggs: Tensor
    group_dsts: Tensor
    src_minus: Tensor
    agg_minus: Tensor
    host: HostHAG
    decisions: tuple[int, ...]
    given_edge_index: Tensor | None
    kept: dict[Hashable, Any]

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
        check_vectors({"src": src})  # the device of the missing ones
        none = src.new_empty(0)
        src_minus = none if src_minus is None else src_minus
        agg_minus = none if agg_minus is None else agg_minus
        tensors = (
            src, agg, src_count, agg_count, dst, group_aggs, group_dsts, src_minus,
            agg_minus,
        )  # fmt: skip
        check_vectors(dict(zip(FIELDS, tensors, strict=True)))
        with ordinary_tensors():  # copies: what is checked is not to change later
            copies = [copied(t) for t in tensors]
        self._check(num_src, copies, sequential)

    def _check(self, num_src: int, tensors: Sequence[Tensor], sequential: bool) -> None:
        """Sets everything, after checks."""
        num_src = check_num_src(num_src)
        check_vectors(dict(zip(FIELDS, tensors, strict=True)))
        if not isinstance(sequential, bool):
            raise TypeError(f"'sequential' must be a bool (got {sequential!r})")
        *others, src_minus, agg_minus = tensors
        num_dst, num_groups = tensors[_DST].numel(), tensors[_GROUPS].numel()
        check_lengths(num_dst, num_groups, tensors[_COUNTS].numel() - num_dst)
        if is_everywhere(src_minus, 0) and is_everywhere(agg_minus, 0):
            tensors = (*others, src_minus[:0], agg_minus[:0])
        self._set(num_src, [ordinary(t.contiguous()) for t in tensors], sequential)
        check_structure(num_src, self.host.flat, sequential)

    def _set(
        self,
        num_src: int,
        tensors: Sequence[Tensor],
        sequential: bool,
        host: HostHAG | None = None,
    ) -> None:
        values = self.__dict__
        values["_num_src"] = num_src
        values["_is_sequential"] = sequential
        values.update(zip(FIELDS, tensors, strict=True))
        values["host"] = host or HostHAG(num_src, tensors, sequential)
        values["decisions"] = ()
        values["given_edge_index"] = None
        values["_weights"] = None
        values["_unread_weights"] = False
        values["kept"] = {}
        self.own_tensors()

    @classmethod
    def checked(
        cls: type[Self], num_src: int, tensors: Sequence[Tensor], sequential: bool
    ) -> Self:
        """Makes a HAG of these very tensors, which nobody else may write to.

        Raises:
            TypeError, ValueError: If they do not describe a HAG.
        """
        hag = cls.__new__(cls)
        missing = [tensors[0].new_empty(0)] * (len(FIELDS) - len(tensors))
        hag._check(num_src, [*tensors, *missing], sequential)
        return hag

    @classmethod
    def trusted(
        cls: type[Self],
        num_src: int,
        tensors: Sequence[Tensor],
        sequential: bool = False,
        host: HostHAG | None = None,
    ) -> Self:
        """Makes a HAG of tensors that are known to be valid, without checking them."""
        hag = cls.__new__(cls)
        missing = [tensors[0].new_empty(0)] * (len(FIELDS) - len(tensors))
        hag._set(num_src, [*tensors, *missing], sequential, host)
        return hag

    @classmethod
    def from_arrays(
        cls: type[Self], num_src: int, arrays: Sequence[I64], sequential: bool = False
    ) -> Self:
        """The same as :meth:`trusted`, for arrays on the host."""
        with ordinary_tensors():
            tensors = [torch.from_numpy(array) for array in arrays]
        return cls.trusted(num_src, tensors, sequential)

    @classmethod
    def from_tensors(cls: type[Self], num_src: int, tensors: Sequence[Tensor]) -> Self:
        """The live HAG that owns these very tensors, or else a new one.

        Operators that take only tensors find the results kept on the HAG this way.
        """
        hag = _live.get(_address(tensors))
        if isinstance(hag, cls) and hag.num_src == num_src:
            return hag
        return cls.checked(num_src, tensors, False)

    def own_tensors(self) -> None:
        """Makes :meth:`from_tensors` find this HAG, of all that share its tensors."""
        if self.src_count.numel() > 0:
            _live[_address(self.tensors)] = self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"cannot set '{name}': a HAG is immutable; build a new one"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete '{name}': a HAG is immutable")

    @property
    def tensors(self) -> list[Tensor]:
        """The flat tensors, in the order of the constructor's arguments."""
        return [getattr(self, name) for name in FIELDS]

    @property
    def handle(self) -> Handle:
        """This HAG as the argument of `torch.library` operators."""
        return self.tensors, self.num_src, ""

    @property
    def num_src(self) -> int:
        """Number of sources."""
        return self._num_src  # type: ignore[attr-defined]

    @property
    def is_sequential(self) -> bool:
        """Whether rows read their inputs in order: the aggregate, then the sources."""
        return self._is_sequential  # type: ignore[attr-defined]

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
        """Number of edges of the graph that the HAG represents."""
        return self.host.distinct.num_edges if self.of_paths else self.host.num_edges

    @property
    def _degree_on_host(self) -> I64:
        host = self.host
        return host.distinct.degree if self.of_paths else host.paths.degree

    @property
    def weights(self) -> EdgeWeights | None:
        """The weights of the edges, or None if all are 1."""
        return self._weights  # type: ignore[attr-defined]

    @property
    def unread_weights(self) -> bool:
        """Whether the data has one number per edge under a name that layers do not get.

        A layer that takes weights then warns if it gets none.
        """
        return self._unread_weights  # type: ignore[attr-defined]

    def note_unread_weights(self) -> None:
        """Sets :attr:`unread_weights`."""
        self.__dict__["_unread_weights"] = True

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.src.device

    @cached_property
    def stats(self) -> HAGStats:
        """The cost of the HAG, compared with that of the plain graph."""
        return self.host.stats(describe(self.decisions), self._degree_on_host)

    def in_order_of(self: Self, edge_index: Tensor) -> Self:
        """Stores the edges in the order in which they were given; returns the HAG."""
        self.__dict__["given_edge_index"] = ordinary(edge_index)
        return self

    def decided(self: Self, *decisions: Decision | int) -> Self:
        """Stores what the search chose and why; returns the HAG.

        Args:
            *decisions: One for each graph of a batch, as such or as numbers.
        """
        self.__dict__["decisions"] = tuple(
            d.code if isinstance(d, Decision) else d for d in decisions
        )
        return self

    def __copy__(self: Self) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        """Whether type, device and tensors are equal: the same rows in order."""
        if not isinstance(other, FlatHAG):
            return NotImplemented
        return self is other or (
            self.num_src == other.num_src
            and self.is_sequential == other.is_sequential
            and self.src.device == other.src.device
            and all(map(equal, self.tensors, other.tensors))
            and same_weights(self.weights, other.weights)
        )

    def __hash__(self) -> int:
        return hash((self.num_src, *(t.numel() for t in self.tensors)))


_COUNTS, _DST, _GROUPS = map(FIELDS.index, ("src_count", "dst", "group_aggs"))
_live: "WeakValueDictionary[tuple[int, ...], FlatHAG]" = WeakValueDictionary()
"""The live HAGs by the addresses and sizes of their tensors."""


def _address(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(x for t in tensors for x in (t.data_ptr(), t.numel()))
