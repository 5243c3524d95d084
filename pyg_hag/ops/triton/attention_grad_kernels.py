"""The Triton kernels of attention's backward pass. Importing this imports Triton.

With coefficients p_ij, gradients g_i of the results out_i and kept factors k_ij (1
without dropout), the gradient of a score is

    p_ij (k_ij g_i . v_j - g_i . out_i)

so that a row needs the features at the other ends of its edges, and three numbers of
each destination and head: `top`, the largest score, `inverse`, one over the sum of
exponentials, and `last`, g_i . out_i: `stats`, of shape `[num_dst, 3, H]`. Scores are
computed again.

Programs and blocks are those of :mod:`pyg_hag.ops.triton.attention_kernels`.
"""
# mypy: ignore-errors

import triton
import triton.language as tl

from pyg_hag.ops.triton.attention_kernels import (
    NUMBERS,
    block_of_heads,
    edges_at,
    feature_score,
    features,
    head_places,
    head_values,
    kept_factors,
    leaky,
    number_of,
    places,
    row_of,
    source_features,
)


@triton.jit
def _numbers_of(stats, i, live, num_heads, head, is_head, WIDE: tl.constexpr):
    """The three numbers of destinations i."""
    top = head_values(stats, 3 * i, live, num_heads, head, is_head, WIDE)
    inverse = head_values(stats, 3 * i + 1, live, num_heads, head, is_head, WIDE)
    last = head_values(stats, 3 * i + 2, live, num_heads, head, is_head, WIDE)
    return top, inverse, last


@triton.jit
def _score_gradients(
    score, product, numbers, n, live, head, is_head, seed, threshold, kept
):
    """The coefficients that are kept, and the gradients of scores.

    `product` are the inner products of gradients and values, and `numbers` those of
    the destinations.
    """
    top, inverse, last = numbers
    both = live[:, None] & is_head[None, :]
    power = tl.where(both, tl.exp(score - top) * inverse, 0.0)
    coefficient = power
    if seed is not None:
        factor = kept_factors(n, head, seed, threshold, number_of(kept, score.dtype))
        coefficient = power * factor
        product = product * factor
    return coefficient, tl.where(both, power * (product - last), 0.0)


@triton.jit
def _store_row(array, summed, row, columns, feature, is_feature, WIDE: tl.constexpr):
    """Writes the features of a row, summed over the places of a block of edges."""
    at, both = places(row, row >= 0, columns, feature, is_feature, WIDE)
    tl.store(array + at, tl.sum(summed, 0)[None, :, :], mask=both)


@triton.jit(do_not_specialize=NUMBERS)
def grad_gat_sources(
    key, value, query, term, grad, stats, grad_key, grad_value, grad_term,
    order, ptr, col, number, num_heads: tl.constexpr, channels: tl.constexpr,
    slope, seed, threshold, kept, WIDE: tl.constexpr,
    EDGES: tl.constexpr, HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradients of keys, values and the edges' terms of `gat`; rows are sources."""
    kind: tl.constexpr = value.dtype.element_ty
    needs_number: tl.constexpr = term is not None or seed is not None
    columns: tl.constexpr = num_heads * channels
    slope = number_of(slope, kind)
    head, is_head, feature, is_feature = block_of_heads(
        num_heads, channels, HEADS, CHANNELS
    )
    row, begin, end = row_of(order, ptr)
    own = row >= 0
    k = head_values(key, row, own, num_heads, head, is_head, WIDE)
    v = features(value, row, own, columns, feature, is_feature, WIDE)
    summed_key = tl.zeros([EDGES, HEADS], kind)
    summed_value = tl.zeros([EDGES, HEADS, CHANNELS], kind)
    for first in range(begin, end, EDGES):
        i, n, live = edges_at(first, end, col, number, needs_number, EDGES)
        argument = k + head_values(query, i, live, num_heads, head, is_head, WIDE)
        if term is not None:
            argument += head_values(term, n, live, num_heads, head, is_head, WIDE)
        g = features(grad, i, live, columns, feature, is_feature, WIDE)
        coefficient, of_score = _score_gradients(
            leaky(argument, slope),
            tl.sum(g * v, 2),
            _numbers_of(stats, i, live, num_heads, head, is_head, WIDE),
            n, live, head, is_head, seed, threshold, kept,
        )  # fmt: skip
        of_argument = tl.where(argument > 0, of_score, of_score * slope)
        summed_key += of_argument
        summed_value += coefficient[:, :, None] * g
        if term is not None:
            at, both = head_places(n, live, num_heads, head, is_head, WIDE)
            tl.store(grad_term + at, of_argument, mask=both)
    at, both = head_places(row, own, num_heads, head, is_head, WIDE)
    tl.store(grad_key + at, tl.sum(summed_key, 0)[None, :], mask=both)
    _store_row(grad_value, summed_value, row, columns, feature, is_feature, WIDE)


@triton.jit(do_not_specialize=NUMBERS)
def grad_sources(
    key, value, query, att, term, grad, stats, grad_key, grad_value, grad_term,
    order, ptr, col, number, num_heads: tl.constexpr, channels: tl.constexpr,
    slope, scale, seed, threshold, kept, KIND: tl.constexpr, WIDE: tl.constexpr,
    EDGES: tl.constexpr, HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The same for scores that are inner products.

    The value of `gatv2` is its key, whose gradient has both; `grad_value` is None.
    """
    kind: tl.constexpr = value.dtype.element_ty
    needs_number: tl.constexpr = term is not None or seed is not None
    columns: tl.constexpr = num_heads * channels
    slope, scale = number_of(slope, kind), number_of(scale, kind)
    head, is_head, feature, is_feature = block_of_heads(
        num_heads, channels, HEADS, CHANNELS
    )
    row, begin, end = row_of(order, ptr)
    own = row >= 0
    own_key = features(key, row, own, columns, feature, is_feature, WIDE)
    own_value, weight = own_key, None
    if KIND == "dot":
        own_value = features(value, row, own, columns, feature, is_feature, WIDE)
    else:
        weight = features(att, row * 0, own, columns, feature, is_feature, WIDE)
    summed_key = tl.zeros([EDGES, HEADS, CHANNELS], kind)
    summed_value = summed_key
    for first in range(begin, end, EDGES):
        i, n, live = edges_at(first, end, col, number, needs_number, EDGES)
        k, v = own_key, own_value
        if term is not None:
            t = features(term, n, live, columns, feature, is_feature, WIDE)
            k = k + t
            if KIND == "dot":
                v = v + t
        q = features(query, i, live, columns, feature, is_feature, WIDE)
        g = features(grad, i, live, columns, feature, is_feature, WIDE)
        score, argument = feature_score(k, q, weight, slope, scale, KIND)
        coefficient, of_score = _score_gradients(
            score,
            tl.sum(g * v, 2),
            _numbers_of(stats, i, live, num_heads, head, is_head, WIDE),
            n, live, head, is_head, seed, threshold, kept,
        )  # fmt: skip
        of_value = coefficient[:, :, None] * g
        if KIND == "gatv2":
            steep = tl.where(argument > 0, weight, weight * slope)
            of_key = of_score[:, :, None] * steep
            of_term = of_key
            summed_key += of_key + of_value
        else:
            of_key = (of_score * scale)[:, :, None] * q
            of_term = of_key + of_value
            summed_key += of_key
            summed_value += of_value
        if term is not None:
            at, both = places(n, live, columns, feature, is_feature, WIDE)
            tl.store(grad_term + at, of_term, mask=both)
    _store_row(grad_key, summed_key, row, columns, feature, is_feature, WIDE)
    if grad_value is not None:
        _store_row(grad_value, summed_value, row, columns, feature, is_feature, WIDE)


@triton.jit(do_not_specialize=NUMBERS)
def grad_destinations(
    key, value, query, att, term, grad, stats, grad_query, grad_att,
    order, ptr, col, number, num_heads: tl.constexpr, channels: tl.constexpr,
    slope, scale, seed, threshold, kept, KIND: tl.constexpr, WIDE: tl.constexpr,
    EDGES: tl.constexpr, HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradients of queries, and the destinations' parts of that of `att`."""
    kind: tl.constexpr = value.dtype.element_ty
    needs_number: tl.constexpr = term is not None or seed is not None
    columns: tl.constexpr = num_heads * channels
    slope, scale = number_of(slope, kind), number_of(scale, kind)
    head, is_head, feature, is_feature = block_of_heads(
        num_heads, channels, HEADS, CHANNELS
    )
    row, begin, end = row_of(order, ptr)
    own = row >= 0
    q = features(query, row, own, columns, feature, is_feature, WIDE)
    g = features(grad, row, own, columns, feature, is_feature, WIDE)
    numbers = _numbers_of(stats, row, own, num_heads, head, is_head, WIDE)
    weight = None
    if KIND == "gatv2":
        weight = features(att, row * 0, own, columns, feature, is_feature, WIDE)
    summed_query = tl.zeros([EDGES, HEADS, CHANNELS], kind)
    summed_att = summed_query
    for first in range(begin, end, EDGES):
        j, n, live = edges_at(first, end, col, number, needs_number, EDGES)
        k, v = source_features(
            key, value, term, j, n, live, columns, feature, is_feature, KIND, WIDE
        )
        score, argument = feature_score(k, q, weight, slope, scale, KIND)
        _, of_score = _score_gradients(
            score, tl.sum(g * v, 2), numbers,
            n, live, head, is_head, seed, threshold, kept,
        )  # fmt: skip
        if KIND == "gatv2":
            steep = tl.where(argument > 0, weight, weight * slope)
            summed_query += of_score[:, :, None] * steep
            summed_att += of_score[:, :, None] * leaky(argument, slope)
        else:
            summed_query += (of_score * scale)[:, :, None] * k
    _store_row(grad_query, summed_query, row, columns, feature, is_feature, WIDE)
    if grad_att is not None:
        _store_row(grad_att, summed_att, row, columns, feature, is_feature, WIDE)
