"""The HAGs that are derived from another one; each is computed once per HAG."""

from typing import Any, TypeVar
from weakref import ref

import torch
from torch import Tensor

from pyg_hag.hag import edit
from pyg_hag.hag.plain import plain_flat
from pyg_hag.hag.weighted import WeightedHAG
from pyg_hag.utils.tensors import flipped

H = TypeVar("H", bound=WeightedHAG)


def transposed(hag: H) -> H:
    """See :meth:`pyg_hag.HAG.t`."""
    if hag.weights is not None:
        bare: Any = hag.unweighted
        out: H = bare.t().weighted_by(hag.weights.t())
        return out
    original: H | None = hag.__dict__.get("_transpose_of", lambda: None)()
    if original is not None:
        return original
    out = hag.from_arrays(hag.num_dst, hag.host.transposed()).to(hag.device)
    if not hag.is_sequential:
        out.__dict__["_transpose_of"] = ref(hag)
    if hag.given_edge_index is not None:
        out.in_order_of(flipped(hag.given_edge_index))
    return out


def closed(hag: H) -> tuple[H, Tensor]:
    """See :meth:`pyg_hag.HAG.closed`."""
    if not hag.is_signed:
        return hag, torch.zeros_like(hag.dst)
    if hag.of_paths:
        bare: Any = hag.unweighted
        inner, more = bare.closed()
        return inner.weighted_by(hag.weights), more
    flat, added = hag.host.closed()
    out = hag.from_arrays(hag.num_src, flat).to(hag.device)
    return out, torch.from_numpy(added).to(hag.device)


def with_self_loops(hag: H) -> H:
    """See :meth:`pyg_hag.HAG.with_self_loops`."""
    if hag.of_paths:
        bare: Any = hag.unweighted
        return bare.with_missing_loops().weighted_by(hag.weights)
    out, _ = closed(hag)
    out.check_square()
    flat = edit.with_self_loops(out.host)
    if flat is out.host.flat:  # each node has one
        return out
    return hag.from_arrays(hag.num_src, flat).to(hag.device)


def with_missing_loops(hag: H) -> H:
    """See :meth:`pyg_hag.HAG.with_missing_loops`."""
    hag.check_square()
    missing = (hag.host.distinct.self_loops == 0).nonzero()[0]
    if missing.size == 0:
        return hag
    flat = edit.with_edges(hag.host, missing, missing)
    return hag.from_arrays(hag.num_src, flat).to(hag.device)


def without_self_loops(hag: H) -> H:
    """See :meth:`pyg_hag.HAG.without_self_loops`."""
    if hag.of_paths:
        bare: Any = hag.unweighted
        return bare.without_self_loops().weighted_by(hag.weights)
    if not hag.host.self_loops.any():
        return hag
    src, dst = hag.host.edge_index()
    keep = src != dst
    flat = plain_flat(src[keep], dst[keep], (hag.num_src, hag.num_dst))
    return hag.from_arrays(hag.num_src, flat).to(hag.device)


def without_aggregates(hag: H) -> H:
    """See :meth:`pyg_hag.HAG.without_aggregates`."""
    if hag.num_aggregates == 0 and not hag.is_signed:
        return hag
    edge_index = hag.edge_index_in_order("edge_weight")
    src, dst = edge_index.detach().long().cpu().numpy()
    flat = plain_flat(src, dst, (hag.num_src, hag.num_dst))
    out = hag.from_arrays(hag.num_src, flat).to(hag.device)
    return out.in_order_of(edge_index)
