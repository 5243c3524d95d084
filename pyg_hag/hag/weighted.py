"""HAGs with weights of their edges, and their copies."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag.arrays import FIELDS
from pyg_hag.hag.base import FlatHAG
from pyg_hag.hag.edge_weights import COVER, EdgeWeights
from pyg_hag.hag.symbolic import SymbolicCover
from pyg_hag.hag.verify import check_weights
from pyg_hag.utils.tensors import copied, kept_property

Self = TypeVar("Self", bound="WeightedHAG")


class WeightedHAG(FlatHAG):
    """The flat tensors of a HAG and the weights of its edges.

    A HAG with weights and :attr:`unweighted` share all that does not depend on them.
    """

    @property
    def unweighted(self: Self) -> Self:
        """The HAG without weights: itself if it has none."""
        return self if self.weights is None else self.__dict__["_unweighted"]

    def weighted_by(self: Self, weights: EdgeWeights | None) -> Self:
        """Returns a HAG of the same graph with such weights of its edges.

        With :meth:`EdgeWeights.counts` or :meth:`EdgeWeights.cover`, several paths with
        the same ends are no longer several edges.

        Raises:
            ValueError: If weights of single edges cannot be shared, or the HAG cannot
                have this meaning of its paths.
        """
        if weights is None:
            return self.unweighted
        if weights.edge_weight is not None and (self.num_aggregates or self.is_signed):
            raise ValueError(
                "'weights' of single edges need a HAG without aggregates: build it "
                "with 'capacity=0'"
            )
        self._check_paths(weights.of_paths)
        bare = self.unweighted
        hag = bare._twin()
        hag._set_weights(weights, bare)
        return hag

    @property
    def covered(self: Self) -> Self:
        """The HAG that :attr:`is_cover`, of the same paths."""
        if torch.compiler.is_compiling() and not self.is_cover:
            return SymbolicCover(self.unweighted)  # type: ignore[return-value]
        return self if self.is_cover else self.unweighted._covered

    @kept_property
    def _covered(self: Self) -> Self:
        return self.weighted_by(EdgeWeights.cover())

    def to(self: Self, device: torch.device | str | int) -> Self:
        """Returns the HAG on `device` (itself if it is already there)."""
        if self.src[:0].to(device).device == self.device:
            return self
        if self.device.type == "cpu":
            _ = self.host.rows  # computed before the tensors leave the host
        moved = torch.cat(self.tensors).to(device)  # in one copy
        tensors = moved.split([t.numel() for t in self.tensors])
        hag = self.trusted(self.num_src, tensors, self.is_sequential, self.host)
        given = self.unweighted.given_edge_index
        if given is not None:
            hag.in_order_of(given.to(device))
        hag.decided(*self.decisions)
        return hag if self.weights is None else hag.weighted_by(self.weights.to(device))

    def __reduce__(self) -> tuple[Any, ...]:
        state: dict[str, Any] = {}
        if self.is_sequential:
            state["_sequential"] = True
        if self.weights is not None:
            weights = tuple(self.weights_of_file())
            state["weights"] = weights if self.of_paths else weights[:-1]
        if self.decisions:
            state["decisions"] = self.decisions
        return type(self), (self.num_src, *self.tensors), state or None

    def weights_of_file(self) -> EdgeWeights:
        """The weights for a copy, which does not know the order of the edges."""
        weights = self.weights
        assert weights is not None
        if weights.edge_weight is None:
            return weights
        if weights.edge_weight.requires_grad:
            raise ValueError(
                "a HAG whose weights require a gradient cannot be stored or copied: "
                "build it from the matrix again"
            )
        return weights._replace(edge_weight=self._sorted_weights(weights.edge_weight))

    def _sorted_weights(self, edge_weight: Tensor) -> Tensor:
        """The weights of single edges, by destination and then by source."""
        src, dst = self.given_edge_index  # type: ignore[misc]
        order = np.lexsort((src.cpu().numpy(), dst.cpu().numpy()))
        return edge_weight[torch.from_numpy(order).to(src.device)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what the constructor does not, and believes none of it.

        Pickles come from others, and `torch.load(weights_only=True)` lets HAGs through.
        """
        if not isinstance(state, dict) or not self.__dict__.keys() >= {*FIELDS}:
            raise ValueError("the pickle of a HAG is damaged")
        sequential = state.get("_sequential", False)
        self._check(self.num_src, [*map(copied, self.tensors)], sequential)
        decisions = state.get("decisions", ())
        if any(type(code) is not int for code in decisions):
            raise ValueError(f"'decisions' must be numbers (got {decisions!r})")
        self.decided(*decisions)
        if "weights" in state:
            weights = EdgeWeights(*state["weights"])
            a, b, weight = (
                copied(t) if isinstance(t, Tensor) else t for t in weights[:3]
            )
            self.take_stored_weights(
                weights._replace(src_scale=a, dst_scale=b, edge_weight=weight)
            )

    def take_stored_weights(self, weights: EdgeWeights) -> None:
        """Sets the weights that :meth:`weights_of_file` has given, after checks."""
        check_weights(weights, self.num_src, self.num_dst, self.num_edges)
        self._check_paths(weights.of_paths)
        if weights.edge_weight is not None:
            if self.num_aggregates > 0 or self.is_signed:
                raise ValueError("'edge_weight' belongs to a HAG without aggregates")
            edge_index = torch.from_numpy(self.host.edge_index())
            self.in_order_of(edge_index.to(self.device))
        self._set_weights(weights, self._twin())

    def _check_paths(self, of_paths: str) -> None:
        """Checks that paths of this HAG can have such a meaning."""
        if of_paths and self.is_sequential:
            raise ValueError(
                f"the paths of a sequential HAG, which are in order, cannot be a "
                f"{of_paths}: build it without order='sequential'"
            )
        if of_paths == COVER and self.is_signed:
            raise ValueError(
                "the paths of a HAG that subtracts cannot be a cover, as there is no "
                "signed maximum: build it without 'subtract'"
            )

    def _twin(self: Self) -> Self:
        """Another HAG of the same tensors, without weights."""
        hag = self.trusted(self.num_src, self.tensors, self.is_sequential, self.host)
        if self.given_edge_index is not None:
            hag.in_order_of(self.given_edge_index)
        return hag.decided(*self.decisions)

    def _set_weights(self: Self, weights: EdgeWeights, bare: Self) -> None:
        self.__dict__.update(_weights=weights, _unweighted=bare)
        if weights.of_paths:  # an order of paths is none of edges
            self.__dict__["given_edge_index"] = None
        bare.own_tensors()  # operators get weights on their own
