"""The one door to the kernels: check, dispatch, and on to autograd."""

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.hag.degrees import inverse_degree, symmetric_norm
from pyg_hag.ops.autograd import many_over, max_over, sum_over
from pyg_hag.ops.checks import check_aggregate
from pyg_hag.ops.dispatch import select
from pyg_hag.ops.launch import Scales
from pyg_hag.ops.numbers import aggregate_integers, to_complex, to_reals
from pyg_hag.ops.paths import over_paths
from pyg_hag.ops.reductions import COMPLEX, DTYPES
from pyg_hag.ops.weighted import weighted_sum
from pyg_hag.utils.tensors import computed_dtype, per_row


def aggregate(
    x: Tensor,
    hag: AbstractHAG,
    reduce: str | list[str] | tuple[str, ...] = "sum",
    src_scale: Tensor | None = None,
    dst_scale: Tensor | None = None,
    self_scale: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    r"""Aggregates the features of every destination's neighbours over a HAG.

    .. math::
        \mathbf{y}_v = b_v \cdot \bigoplus_{u \in \mathcal{N}(v)}
        a_u \, \mathbf{x}_u + c_v \cdot \mathbf{x}_v

    with `src_scale` :math:`a`, `dst_scale` :math:`b` (both 1 by default),
    `self_scale` :math:`c` (0 by default) and the reduction :math:`\bigoplus`. The
    result is that of the graph which the HAG stands for; shared groups of neighbours
    are computed once (Jia et al., KDD 2020, Algorithm 2). Destinations without
    neighbours get 0. Gradients flow to `x` and to the scales; that of max and min is
    split evenly among the neighbours that attain it, as in PyTorch's
    `scatter_reduce`. Variance and standard deviation are those of PyG's aggregations:
    the mean of the squares less the square of the mean, and its root, which is 0 up
    to a variance of 1e-5.

    Several reductions share one pass: `reduce=["sum", "max", "std"]` reads every
    input once.

    Over a HAG that subtracts (`build_hag(subtract=True)`), sums and means round
    differently, by about the precision of the dtype times the largest value that is
    added and subtracted: a row with one huge entry disturbs the sums that pass
    through it, and an infinity or NaN turns those into NaN.

    Args:
        x (torch.Tensor): Source features of shape `[num_src, *]`, in float32,
            float64, float16 or bfloat16. The latter two are summed in float32. Or
            integers, whose sums, maxima and minima are integers, exact unless they
            do not fit into their dtype; truth values, whose sum is whether one is
            true; or complex numbers.
        hag (HAG): The graph.
        reduce (str or list[str]): `"sum"` or `"add"`, `"mean"`, `"max"`, `"min"`,
            `"var"`, `"std"` or, with as many sources as destinations, `"symnorm"`: the
            sum of :math:`\mathbf{x}_u / \sqrt{d_u d_v}` with in-degrees :math:`d`. Or
            several of them.
        src_scale (torch.Tensor, optional): Factors of the sources, `[num_src]`.
        dst_scale (torch.Tensor, optional): Factors of the destinations,
            `[num_dst]`.
        self_scale (torch.Tensor, optional): Factors of the nodes themselves, which
            are added, `[num_dst]`. Only for sum and mean, and as many sources as
            destinations. Where it is 0, nothing is added, whatever `x` is.
        backend (str, optional): `"numba"` (CPU), `"triton"` (CUDA), `"torch_scatter"`
            (any device that this package knows, if it is installed),
            `"segment_reduce"` (PyTorch's own, any device) or `"torch"` (the reference,
            any device). By default the first of them that there is for `x`.

    Returns:
        torch.Tensor: Shape `[num_dst, *]`, with the dtype of `x`, or the default
        floating-point dtype where integers have a mean or factors. For a list of k
        reductions, their results side by side in the last dimension: `[num_dst, *, k
        * F]` for x of shape `[num_src, *, F]`, and `[num_dst, k]` for `[num_src]`.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes, devices or names do not fit, or the HAG subtracts and
            `reduce` is neither sum, mean nor symnorm. If it counts paths and `reduce`
            is neither sum nor mean, or is a cover and it is neither max nor min.
    """
    reduce = check_aggregate(x, hag, reduce, src_scale, dst_scale, self_scale)
    if hag.of_paths:
        scales = src_scale, dst_scale, self_scale
        return _aggregate_paths(x, hag, reduce, scales, backend)
    if x.dtype not in DTYPES:
        scales = src_scale, dst_scale, self_scale
        return _aggregate_others(x, hag, reduce, scales, backend)
    if hag.weights is not None:
        scales = src_scale, dst_scale, self_scale
        return _aggregate_weighted(x, hag, reduce, scales, backend)
    backend = select(x.device, backend)
    if reduce in ("sum", "mean", "symnorm"):
        if reduce == "mean":
            weight = inverse_degree(hag, computed_dtype(x))
            dst_scale = weight if dst_scale is None else weight * dst_scale
        elif reduce == "symnorm":
            norm = symmetric_norm(hag, computed_dtype(x))
            src_scale = norm if src_scale is None else norm * src_scale
            dst_scale = norm if dst_scale is None else norm * dst_scale
        return sum_over(x, (src_scale, dst_scale, self_scale), hag, False, backend)
    dtype = x.dtype
    if src_scale is not None or dst_scale is not None:
        x = x.to(computed_dtype(x))
    if src_scale is not None:
        x = x * per_row(src_scale, x)
    if reduce == "max" or reduce == "min":
        out = max_over(x, hag, reduce == "min", backend)
    elif isinstance(reduce, str):
        out = _side_by_side(x, hag, (reduce,), backend)
        out = out.view(out.size(0), *x.shape[1:])
    else:
        out = _side_by_side(x, hag, reduce, backend)
    if dst_scale is not None:
        out = out * per_row(dst_scale, out)
    return out.to(dtype)


def _aggregate_paths(
    x: Tensor,
    hag: AbstractHAG,
    reduce: str | tuple[str, ...],
    scales: Scales,
    backend: str | None,
) -> Tensor:
    """Over a graph of which several paths are one edge."""
    src_scale, dst_scale, self_scale = scales
    if hag.is_cover:
        chosen = reduce if isinstance(reduce, str) else [*reduce]
        return aggregate(x, hag.unweighted, chosen, *scales, backend=backend)
    if isinstance(reduce, str):
        paths, name, dst_scale = over_paths(x, hag, reduce, dst_scale)
        factors = src_scale, dst_scale, self_scale
        return aggregate(x, paths, name, *factors, backend=backend)
    x = x[:, None] if x.dim() == 1 else x
    factors = src_scale, dst_scale, self_scale
    return torch.cat(
        [aggregate(x, hag, n, *factors, backend=backend) for n in reduce], -1
    )


def _aggregate_others(
    x: Tensor,
    hag: AbstractHAG,
    reduce: str | tuple[str, ...],
    scales: Scales,
    backend: str | None,
) -> Tensor:
    """Integers and complex numbers."""
    if x.dtype in COMPLEX:
        chosen = reduce if isinstance(reduce, str) else [*reduce]
        out = aggregate(to_reals(x), hag, chosen, *scales, backend=backend)
        return to_complex(out)
    factors = [scale for scale in scales if scale is not None]
    names = (reduce,) if isinstance(reduce, str) else reduce
    if factors or hag.weights is not None or "symnorm" in names:
        dtype = torch.get_default_dtype()
        for factor in factors:
            dtype = torch.promote_types(dtype, factor.dtype)
        chosen = reduce if isinstance(reduce, str) else [*reduce]
        return aggregate(x.to(dtype), hag, chosen, *scales, backend=backend)
    backend = select(x.device, backend)
    if isinstance(reduce, str):
        return aggregate_integers(x, hag, reduce, backend)
    x = x[:, None] if x.dim() == 1 else x
    return torch.cat([aggregate_integers(x, hag, n, backend) for n in names], -1)


def _aggregate_weighted(
    x: Tensor,
    hag: AbstractHAG,
    reduce: str | tuple[str, ...],
    scales: Scales,
    backend: str | None,
) -> Tensor:
    """Over a graph with weights of its edges, which multiply the features."""
    src_scale, dst_scale, self_scale = scales
    weights, hag = hag.weights, hag.unweighted
    assert weights is not None
    if weights.edge_weight is None:
        a, b = weights.src_scale, weights.dst_scale
        assert a is not None and b is not None
        names = [reduce] if isinstance(reduce, str) else [*reduce]
        if {"max", "min"} & {*names} and not bool((b >= 0).all()):
            raise _unsupported("sum or mean", "are negative for destinations", reduce)
        if {"var", "std"} & {*names}:
            raise _unsupported("sum, mean, max or min", "are products", reduce)
        src_scale = a if src_scale is None else a * src_scale
        dst_scale = b if dst_scale is None else b * dst_scale
        chosen = reduce if isinstance(reduce, str) else names
        factors = src_scale, dst_scale, self_scale
        return aggregate(x, hag, chosen, *factors, backend=backend)
    if reduce not in ("sum", "mean"):
        raise _unsupported("sum or mean", "have no factors", reduce)
    wide = x.to(computed_dtype(x))
    scaled = wide if src_scale is None else wide * per_row(src_scale, wide)
    out = weighted_sum(scaled, weights.edge_weight, hag)
    if reduce == "mean":
        out = out * per_row(inverse_degree(hag, wide.dtype), out)
    if dst_scale is not None:
        out = out * per_row(dst_scale, out)
    if self_scale is not None:
        out = out + wide * per_row(self_scale, wide)
    return out.to(x.dtype)


def _unsupported(names: str, weights: str, reduce: object) -> ValueError:
    return ValueError(
        f"'reduce' must be {names} over a HAG whose weights {weights} (got {reduce!r}):"
        f" use 'hag.unweighted'"
    )


def _side_by_side(
    x: Tensor, hag: AbstractHAG, reduces: tuple[str, ...], backend: str
) -> Tensor:
    distinct = tuple(dict.fromkeys(reduces))
    dtype = computed_dtype(x)
    weight = inverse_degree(hag, dtype)
    norm = symmetric_norm(hag, dtype) if "symnorm" in distinct else None
    flat = x.flatten(1) if x.dim() > 1 else x[:, None]
    out = many_over(flat, weight, norm, hag, distinct, backend)
    if x.dim() <= 2 and len(distinct) == len(reduces):
        return out
    inner = x.shape[1:] if x.dim() > 1 else (1,)
    out = out.view(out.size(0), len(distinct), *inner)
    if len(distinct) < len(reduces):
        out = out[:, [distinct.index(name) for name in reduces]]
    return out.movedim(1, -2).flatten(-2)
