"""What is computed from a HAG's tensors, once: pointers, paths, edges, transpose."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag import _structure
from pyg_hag._stats import HAGStats
from pyg_hag._transpose import is_symmetric, transpose

if TYPE_CHECKING:
    from pyg_hag.hag import HAG

I64 = NDArray[np.int64]

FIELDS = (
    "src",
    "agg",
    "src_count",
    "agg_count",
    "dst",
    "group_aggs",
    "group_dsts",
    "src_minus",
    "agg_minus",
)
"""The flat tensors of a HAG, in the order of :attr:`pyg_hag.HAG.tensors`."""

_MOST_LISTED = 2**37  # edges: a HAG may stand for more than any memory holds


def arrays(hag: "HAG") -> dict[str, Any]:
    """The tensors as NumPy arrays, with row pointers and row kinds.

    Row r adds the sources from `src_ptr[r]` to `src_mid[r]` and subtracts those from
    there to `src_ptr[r + 1]`; the same for aggregates.
    """
    a: dict[str, Any] = {name: getattr(hag, name).cpu().numpy() for name in FIELDS}
    a["kinds"] = _structure.row_kinds(a["group_aggs"], a["group_dsts"], a["dst"])
    for kind in ("src", "agg"):
        ptr = a[f"{kind}_ptr"] = pointers(a[f"{kind}_count"])
        minus = a[f"{kind}_minus"]
        a[f"{kind}_mid"] = ptr[1:] - minus if minus.size else ptr[1:]
    return a


def paths(hag: "HAG") -> tuple[I64, int, I64]:
    """Edges into each destination, the depth, and the level of each aggregate."""
    a = hag._arrays()
    return _structure.count_paths(
        a["kinds"],
        a["src_ptr"],
        a["src_mid"],
        a["agg_ptr"],
        a["agg_mid"],
        a["agg"],
        hag.num_dst,
    )


def stats(hag: "HAG", decision: str) -> HAGStats:
    """What the HAG costs."""
    a = hag._arrays()
    inputs = a["src_count"] + a["agg_count"]
    degree, depth, _ = hag._paths()
    return HAGStats(
        num_edges=hag.num_edges,
        num_aggregates=hag.num_aggregates,
        num_groups=hag.group_aggs.numel(),
        depth=depth,
        max_inputs=int(inputs.max(initial=0)),
        plain_aggregations=total((degree - 1).clip(min=0)),
        aggregations=int((inputs - 1).clip(min=0).sum()),
        reads=int(inputs.sum()),
        subtractions=int(a["src_minus"].sum() + a["agg_minus"].sum()),
        steps=hag.src.numel() if hag.is_sequential else None,
        decision=decision,
    )


def transposed(hag: "HAG") -> list[Tensor]:
    """The tensors of the HAG with every arrow turned round, on the host."""
    a = hag._arrays()
    flat = transpose(
        hag.num_src,
        a["kinds"],
        a["src_ptr"],
        a["src_mid"],
        a["src"],
        a["agg_ptr"],
        a["agg_mid"],
        a["agg"],
        a["group_aggs"],
        a["group_dsts"],
        hag.is_signed,
    )
    return [torch.from_numpy(t) for t in flat]


def equals_transpose(hag: "HAG") -> bool:
    """Whether the graph is its own transpose."""
    if hag.num_src != hag.num_dst:
        return False
    a = hag._arrays()
    ends = a["src_ptr"], a["src_mid"], a["src"], a["agg_ptr"], a["agg_mid"], a["agg"]
    return is_symmetric(hag.num_dst, a["kinds"], *ends)


def closed(hag: "HAG") -> tuple[list[Tensor], Tensor]:
    """The tensors of the HAG where no row subtracts its own source, and what is new.

    On the host.
    """
    a = hag._arrays()
    src, src_count, src_minus, added = _structure.keep_self(
        a["kinds"], a["src_ptr"], a["src_mid"], a["src"], hag.num_dst
    )
    changed = {"src": src, "src_count": src_count, "src_minus": src_minus}
    flat = {**{name: a[name] for name in FIELDS}, **changed}
    if not src_minus.any() and not a["agg_minus"].any():
        flat["src_minus"] = flat["agg_minus"] = src_minus[:0]
    tensors = [torch.from_numpy(flat[name]) for name in FIELDS]
    return tensors, torch.from_numpy(added)


def csr(hag: "HAG") -> tuple[I64, I64]:
    """The graph in CSR form: row pointers by destination, sorted sources."""
    a = hag._arrays()
    degree = most = hag._paths()[0]
    if hag.is_signed:  # paths of either sign
        ends = a["src_ptr"], a["src_ptr"][1:], a["agg_ptr"], a["agg_ptr"][1:]
        most = _structure.count_paths(a["kinds"], *ends, a["agg"], hag.num_dst)[0]
        if (degree < 0).any():
            raise_negative(-1, int((degree < 0).nonzero()[0][0]))
    if total(most) > _MOST_LISTED:
        raise ValueError(
            f"the HAG stands for {total(most):.3g} edges: too many to list"
        )
    ptr = pointers(degree)
    col = np.empty(int(ptr[-1]), np.int64)
    if not hag.is_signed:
        _structure.expand(
            a["kinds"], a["src_ptr"], a["src"], a["agg_ptr"], a["agg"], ptr, col
        )
        return ptr, col
    u, v = _structure.expand_signed(
        a["kinds"],
        a["src_ptr"],
        a["src_mid"],
        a["src"],
        a["agg_ptr"],
        a["agg_mid"],
        a["agg"],
        int(most.max(initial=0)),
        ptr,
        col,
    )
    if v >= 0:
        raise_negative(u, v)
    return ptr, col


def raise_negative(u: int, v: int) -> None:
    """Raises the error of a HAG that subtracts what it does not add."""
    what = "paths" if u < 0 else f"paths from source {u}"
    raise ValueError(
        f"the HAG subtracts more {what} to destination {v} than it adds: it stands "
        f"for no graph; use 'build_hag' to make it"
    )


def pointers(counts: Any) -> Any:
    """Where the entries of each row start, and the last ones end."""
    out = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    return out


def total(counts: Any) -> int:
    """The sum of counts that may be too large for 64 bits together."""
    return int(counts.sum() if counts.max(initial=0) < 2**31 else sum(counts.tolist()))
