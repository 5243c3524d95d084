"""Rounded features as they are in INT8: codes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag._plan import inverse_degree
from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import Adjacency
from pyg_hag.nn.conv._message_passing import check_shareable, check_sources
from pyg_hag.ops.codes import Epilogue, Rest, Scale, aggregate_codes
from pyg_hag.quantization import _pending
from pyg_hag.quantization._rounded import LINEAR, Rounded, reductions_of


class Codes(NamedTuple):
    """Features of nodes as codes, uint8 `[N, F]`; see there for what they can do.

    Sums of codes are pending. What has no form in whole numbers runs in float32, on
    what the codes stand for.
    """

    codes: Tensor
    of: Scale

    def size(self, dim: int) -> int:
        """Of the features."""
        return self.codes.size(dim)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.codes.device

    def values(self) -> Tensor:
        """What the codes stand for."""
        return self._floats().values()

    def _floats(self) -> Rounded:
        """The same in floating point."""
        scale = torch.tensor(self.of.scale, dtype=torch.float32, device="cpu")
        return Rounded(self.codes.float() - self.of.zero, scale)

    def summed(self, conv: Any, graph: Adjacency) -> Any:
        """See :meth:`Rounded.summed`."""
        hag, _, b, own, weight = graph
        if weight is not None or (own is not None and own.dtype != torch.int32):
            return self._floats().summed(conv, graph)
        check_shareable(conv)
        return self._reduced(hag, "sum", own, b)

    def reduced(self, conv: Any, hag: HAG, num_dst: int, **kwargs: Any) -> Any:
        """See :meth:`Rounded.reduced`."""
        names = reductions_of(conv)
        given = any(value is not None for value in kwargs.values())
        if given or len(names) > 1 or names[0] not in LINEAR:
            return self._floats().reduced(conv, hag, num_dst, **kwargs)
        check_shareable(conv)
        return self.aggregated(conv._walked(hag), names[0])

    def aggregated(self, hag: HAG, reduce: str) -> Any:
        """See :meth:`Rounded.aggregated`."""
        if reduce not in LINEAR:
            return self._floats().aggregated(hag, reduce)
        if reduce != "mean":
            return self._reduced(hag, reduce, None, None)
        return self._reduced(hag, "sum", None, mean_weight(hag))

    def _reduced(
        self, hag: HAG, reduce: str, own: Tensor | None, dst_scale: Tensor | None
    ) -> "_pending.Pending":
        check_sources(hag, self.codes.size(0))

        def make(after: Epilogue) -> Tensor:
            after = after._replace(dst_scale=dst_scale)
            return aggregate_codes(self.codes, self.of, hag, reduce, own, after)

        shape = hag.num_dst, self.codes.size(1)
        return _pending.Pending(make, shape, self.codes.device)

    def added_to(self, out: Any, factor: Any = None) -> Any:
        """These features, times a factor, and others."""
        if not isinstance(out, _pending.Pending):
            return self._floats().added_to(out, factor)
        rest = Rest(self.codes, self.of.scale, self.of.zero)
        if factor is None:
            return out.plus(rest)
        return out.plus(rest, factor.float().expand(self.codes.size(1)).contiguous())


class Unrounded:
    """Codes of features that are rounded when one layer multiplies them, in parts."""

    def __init__(self, x: Tensor, of: Scale, factor: Tensor | None) -> None:
        self.x, self.of, self.factor = x, of, factor

    def size(self, dim: int) -> int:
        """Of the features."""
        return self.x.size(dim)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.x.device


def mean_weight(hag: HAG) -> Tensor:
    """One over the in-degrees."""
    if torch.compiler.is_compiling():
        from pyg_hag.ops.degrees import in_degree

        return in_degree(hag).clamp(min=1).float().reciprocal()
    return inverse_degree(hag, torch.float32)
