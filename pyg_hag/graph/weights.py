"""Edge weights as products of a factor of the source and one of the destination."""

import numpy as np
import torch
from torch import Tensor

from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import F64, I64, pointers

_ROUNDS = 4  # of averaging, which spreads rounding errors over the edges
MAX_ULPS = 16  # allowed error of a product of factors, in units of rounding


def floating_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of weights: the default dtype for whole numbers and booleans."""
    dtype = weight.dtype
    return dtype if dtype.is_floating_point else torch.get_default_dtype()


def factors_of(
    edge_index: Tensor, edge_weight: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, str]:
    """:func:`factors` for tensors.

    Args:
        edge_index: The edges, `[2, num_edges]`.
        edge_weight: Their weights, `[num_edges]`.
        size: `(num_src, num_dst)`.

    Returns:
        tuple: The factors, on the device of the weights and in their dtype (PyTorch's
        default dtype for integers), and an error message, `""` if the weights are such
        products.
    """
    src, dst = edge_index.cpu().long().contiguous().numpy()
    weight = edge_weight.detach().flatten().cpu().double().numpy()
    dtype = floating_dtype(edge_weight)
    epsilon = torch.finfo(dtype).eps
    if np.array_equal(weight.astype(np.float32), weight):  # computed in float32
        epsilon = max(epsilon, torch.finfo(torch.float32).eps)
    a, b, edge = factors(src, dst, weight, *size, epsilon)
    error = ""
    if edge >= 0:
        error = (
            f"is not the product of a source factor and a destination factor "
            f"(edge {edge}, from {src[edge]} to {dst[edge]}, weighs {weight[edge]:.6g})"
        )
    return (
        torch.from_numpy(a).to(edge_weight.device, dtype),
        torch.from_numpy(b).to(edge_weight.device, dtype),
        error,
    )


def factors(
    src: I64, dst: I64, weight: F64, num_src: int, num_dst: int, epsilon: float
) -> tuple[F64, F64, int]:
    """Finds `a` and `b` with `a[src] * b[dst] == weight`, up to rounding.

    Along a spanning forest of the bipartite graph of sources and destinations, every
    factor follows from one weight; if the other weights disagree, there are no factors.

    Args:
        src: Source of each edge.
        dst: Destination of each edge.
        weight: Weight of each edge.
        num_src: Number of sources.
        num_dst: Number of destinations.
        epsilon: The relative rounding error of the weights.

    Returns:
        tuple: `a` and `b` (1 for nodes without edges; `b` is not negative if possible),
        and the edge whose weight is furthest from such a product, or -1 if there is
        none.
    """
    if not np.isfinite(weight).all():
        return np.ones(num_src), np.ones(num_dst), int(np.isfinite(weight).argmin())
    by_src = np.argsort(src, kind="stable")
    by_dst = np.argsort(dst, kind="stable")
    src_ptr = pointers(np.bincount(src, minlength=num_src))
    dst_ptr = pointers(np.bincount(dst, minlength=num_dst))
    a, b = np.zeros(num_src), np.zeros(num_dst)
    _spread(src, dst, weight, src_ptr, by_src, dst_ptr, by_dst, a, b, _ROUNDS)
    error = np.abs(a[src] * b[dst] - weight) - MAX_ULPS * epsilon * np.abs(weight)
    a[np.diff(src_ptr) == 0] = 1
    b[np.diff(dst_ptr) == 0] = 1
    return a, b, int(error.argmax()) if error.max(initial=0) > 0 else -1


@jit
def _spread(src, dst, weight, src_ptr, by_src, dst_ptr, by_dst, a, b, rounds):  # type: ignore[no-untyped-def]
    """Fills the factors a `[num_src]` and b `[num_dst]`.

    Those of nodes whose weights are all 0 stay 0.
    """
    num_dst = b.size
    queue = np.empty(a.size + num_dst, np.int64)  # destinations, then sources
    for root in range(num_dst):
        if b[root] != 0 or not _has_weight(weight, dst_ptr, by_dst, root):
            continue
        b[root] = 1.0
        queue[0] = root
        head, tail = 0, 1
        while head < tail:
            node = queue[head]
            head += 1
            if node < num_dst:
                for i in range(dst_ptr[node], dst_ptr[node + 1]):
                    e = by_dst[i]
                    if a[src[e]] == 0 and weight[e] != 0:
                        a[src[e]] = weight[e] / b[node]
                        queue[tail] = num_dst + src[e]
                        tail += 1
            else:
                for i in range(src_ptr[node - num_dst], src_ptr[node - num_dst + 1]):
                    e = by_src[i]
                    if b[dst[e]] == 0 and weight[e] != 0:
                        b[dst[e]] = weight[e] / a[node - num_dst]
                        queue[tail] = dst[e]
                        tail += 1
    for _ in range(rounds):
        _averaged(dst, weight, src_ptr, by_src, b, a)
        _averaged(src, weight, dst_ptr, by_dst, a, b)


@jit
def _has_weight(weight, ptr, order, node):  # type: ignore[no-untyped-def]
    """Whether any edge of a node has a weight other than 0."""
    for i in range(ptr[node], ptr[node + 1]):
        if weight[order[i]] != 0:
            return True
    return False


@jit
def _averaged(other, weight, ptr, order, known, out):  # type: ignore[no-untyped-def]
    """Sets each factor to the mean of weight / known factor over its edges."""
    for node in range(out.size):
        total, count = 0.0, 0
        for i in range(ptr[node], ptr[node + 1]):
            e = order[i]
            if weight[e] != 0 and known[other[e]] != 0:
                total += weight[e] / known[other[e]]
                count += 1
        if count > 0:
            out[node] = total / count
