"""The Triton kernel of attention's forward pass. Importing this imports Triton.

A program computes one row, for a block of heads. It visits the edges of the row `EDGES`
at a time; each place of a block of edges has a maximum and sums of its own, which are
combined in the end, so that the edges of a block need nothing of each other. There are
no atomics, and the order of all sums is fixed.

Blocks have the shapes `[EDGES, HEADS]` and `[EDGES, HEADS, CHANNELS]`; of what belongs
to the row, there is one instead of `EDGES`.
"""
# mypy: ignore-errors

import triton
import triton.language as tl

EPSILON: tl.constexpr = tl.constexpr(1e-16)  # as in PyG's softmax
NUMBERS = ["slope", "scale", "seed", "threshold", "kept"]
"""Arguments of kernels that differ from call to call."""


@triton.jit
def number_of(bits, kind: tl.constexpr):
    """A number in the dtype of the features, from its bits in float64.

    Triton passes floats in float32.
    """
    return bits.to(tl.int64).to(tl.float64, bitcast=True).to(kind)


@triton.jit
def block_of_heads(
    num_heads: tl.constexpr, channels: tl.constexpr, HEADS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """The heads of the program and the places of their features, and which exist."""
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    channel = tl.arange(0, CHANNELS)
    is_head = head < num_heads
    feature = head[:, None] * channels + channel[None, :]
    is_feature = is_head[:, None] & (channel < channels)[None, :]
    return head, is_head, feature, is_feature


@triton.jit
def row_of(order, ptr):
    """The row of the program, as a block of one, and where its edges begin and end."""
    row = tl.load(order + tl.program_id(0))
    begin, end = tl.load(ptr + row), tl.load(ptr + row + 1)
    return row + tl.zeros([1], tl.int32), begin, end


@triton.jit
def edges_at(first, end, col, number, needs_number: tl.constexpr, EDGES: tl.constexpr):
    """The other ends of the edges from `first` on, their numbers, and which exist."""
    e = first + tl.arange(0, EDGES)
    live = e < end
    other = tl.load(col + e, mask=live, other=0)
    n = other
    if needs_number:
        n = tl.load(number + e, mask=live, other=0)
    return other, n, live


@triton.jit
def places(i, live, columns, feature, is_feature, WIDE: tl.constexpr):
    """Where the features of rows i of an array are, and which exist."""
    if WIDE:
        i = i.to(tl.int64)
    at = i[:, None, None] * columns + feature[None, :, :]
    return at, live[:, None, None] & is_feature[None, :, :]


@triton.jit
def head_places(i, live, num_heads, head, is_head, WIDE: tl.constexpr):
    """Where the heads' values of rows i of an array are, and which exist."""
    if WIDE:
        i = i.to(tl.int64)
    return i[:, None] * num_heads + head[None, :], live[:, None] & is_head[None, :]


@triton.jit
def features(array, i, live, columns, feature, is_feature, WIDE: tl.constexpr):
    """The features of rows i of an array."""
    at, both = places(i, live, columns, feature, is_feature, WIDE)
    return tl.load(array + at, mask=both, other=0.0)


@triton.jit
def head_values(array, i, live, num_heads, head, is_head, WIDE: tl.constexpr):
    """The heads' values of rows i of an array."""
    at, both = head_places(i, live, num_heads, head, is_head, WIDE)
    return tl.load(array + at, mask=both, other=0.0)


@triton.jit
def source_features(
    key, value, term, j, n, live, columns, feature, is_feature,
    KIND: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Keys and values of sources j with the terms of edges n; `gatv2`'s are keys."""
    k = features(key, j, live, columns, feature, is_feature, WIDE)
    v = k
    if KIND == "dot":
        v = features(value, j, live, columns, feature, is_feature, WIDE)
    if term is not None:
        t = features(term, n, live, columns, feature, is_feature, WIDE)
        k += t
        if KIND == "dot":
            v += t
    return k, v


@triton.jit
def leaky(x, slope):
    """Leaky ReLU."""
    return tl.where(x > 0, x, x * slope)


@triton.jit
def feature_score(key, query, att, slope, scale, KIND: tl.constexpr):
    """Scores that are inner products; `key` has the edges' terms.

    Also what GATv2 applies its leaky ReLU to.
    """
    if KIND == "gatv2":
        argument = key + query
        score = tl.sum(leaky(argument, slope) * att, 2)
    else:
        argument = key
        score = tl.sum(query * key, 2) * scale
    return score, argument


@triton.jit
def kept_factors(number, head, seed, threshold, kept):
    """Factors of coefficients, as :func:`pyg_hag.ops.attention.dropout.kept`."""
    x = number.to(tl.uint64) * 0x9E3779B97F4A7C15 + seed.to(tl.uint64)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    x = x ^ (x >> 31)
    of_head = head.to(tl.uint32) * 0x9E3779B9
    y = x.to(tl.uint32)[:, None] + of_head[None, :]
    y = (y ^ (y >> 16)) * 0x85EBCA6B
    y = (y ^ (y >> 13)) * 0xC2B2AE35
    y = y ^ (y >> 16)
    return tl.where(y >= threshold.to(tl.uint32), kept, 0.0)


@triton.jit
def _scaled_to(top, highest):
    """Factors that make sums of exponentials less `top` ones less `highest`.

    Also what to subtract from scores: `highest`, or 0 if there is no score yet.
    """
    base = tl.where(highest == -float("inf"), 0.0, highest)
    return tl.exp(top - base), base


@triton.jit
def _combined(top, total, has_edges):
    """The largest scores, and one over the sums of exponentials, of all places.

    Also factors that make a place's sums parts of those of all. What is of a row
    without edges is 0.
    """
    highest = tl.max(top, 0)
    factor, _ = _scaled_to(top, highest[None, :])
    total = tl.sum(total * factor, 0)
    # Without a score above -inf, PyG has NaN:
    total = tl.where(highest == -float("inf"), float("nan"), total)
    inverse = tl.where(has_edges, 1.0 / (total + EPSILON), 0.0)
    return tl.where(has_edges, highest, 0.0), inverse, factor


@triton.jit
def _store_stats(
    stats, row, top, inverse, share, num_heads, head, is_head, WIDE: tl.constexpr
):
    at, both = head_places(row, row >= 0, num_heads, head, is_head, WIDE)
    tl.store(stats + at * 3, top[None, :], mask=both)
    tl.store(stats + at * 3 + 1, inverse[None, :], mask=both)
    tl.store(stats + at * 3 + 2, share[None, :], mask=both)


@triton.jit(do_not_specialize=NUMBERS)
def attend(
    key, value, query, att, term, out, positive, stats, order, ptr, col, number,
    num_heads: tl.constexpr, channels: tl.constexpr, slope, scale, seed, threshold,
    kept, KIND: tl.constexpr, WIDE: tl.constexpr,
    EDGES: tl.constexpr, HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums the values of the sources of each destination, by the softmax of scores.

    `positive` are the sums over the edges with positive scores, and `stats` the numbers
    of :func:`pyg_hag.ops.attention.launch.compute`. Both may be None; so may `seed`
    where nothing is dropped.
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
    if KIND == "gat":
        target = head_values(query, row, own, num_heads, head, is_head, WIDE)
    else:
        target = features(query, row, own, columns, feature, is_feature, WIDE)
    weight = None
    if att is not None:
        weight = features(att, row * 0, own, columns, feature, is_feature, WIDE)
    top = tl.full([EDGES, HEADS], -float("inf"), kind)
    total = tl.zeros([EDGES, HEADS], kind)
    share = total
    summed = tl.zeros([EDGES, HEADS, CHANNELS], kind)
    summed_positive = summed
    for first in range(begin, end, EDGES):
        j, n, live = edges_at(first, end, col, number, needs_number, EDGES)
        if KIND == "gat":
            argument = head_values(key, j, live, num_heads, head, is_head, WIDE)
            argument += target
            if term is not None:
                argument += head_values(term, n, live, num_heads, head, is_head, WIDE)
            score = leaky(argument, slope)
            v = features(value, j, live, columns, feature, is_feature, WIDE)
        else:
            k, v = source_features(
                key, value, term, j, n, live, columns, feature, is_feature, KIND, WIDE
            )
            score, argument = feature_score(k, target, weight, slope, scale, KIND)
        score = tl.where(live[:, None] & is_head[None, :], score, -float("inf"))
        highest = tl.maximum(top, score)
        before, base = _scaled_to(top, highest)
        top = highest
        power = tl.exp(score - base)
        total = total * before + power
        factor = power
        if seed is not None:
            scaled = number_of(kept, kind)
            factor = power * kept_factors(n, head, seed, threshold, scaled)
        summed = summed * before[:, :, None] + factor[:, :, None] * v
        if positive is not None:
            share = share * before + tl.where(argument > 0, power, 0.0)
            factor = tl.where(argument > 0, factor, 0.0)
            summed_positive = summed_positive * before[:, :, None]
            summed_positive += factor[:, :, None] * v
    highest, inverse, factor = _combined(top, total, end > begin)
    at, both = places(row, own, columns, feature, is_feature, WIDE)
    result = tl.sum(summed * factor[:, :, None], 0) * inverse[:, None]
    tl.store(out + at, result[None, :, :], mask=both)
    if positive is not None:
        result = tl.sum(summed_positive * factor[:, :, None], 0) * inverse[:, None]
        tl.store(positive + at, result[None, :, :], mask=both)
    if stats is not None:
        share = tl.sum(share * factor, 0) * inverse
        _store_stats(
            stats, row, highest, inverse, share, num_heads, head, is_head, WIDE
        )
