"""The stages of a sweep backward: gradients of sources and of their scores."""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep.block import F, exp_all, view
from pyg_hag.ops.cpu.sweep.forward import far, weight
from pyg_hag.ops.cpu.sweep.order import part_of
from pyg_hag.ops.cpu.sweep.sums import chunk_of, edges_of
from pyg_hag.runtime.jit import jit


@jit
def scale_rows(p: Any, slot: int, part: int, head: int, real: Any) -> None:
    """Writes the factors of destinations, which go in, and of their `delta`.

    A row that is computed edge by edge goes in with a factor of 0.
    """
    (in0, out0, _, c0), (in1, out1, _, c1) = part_of(p, part)
    out, num, heads = out1 - out0, in1 - in0, p[F.heads]
    slope = view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + num, real)
    largest = view(slot + p[F.reference], c1 - c0, real)
    component = view(p[F.in_component] + 4 * in0, num, np.int32)
    nodes = view(p[F.in_nodes] + 4 * in0, num, np.int32)
    scales = view(slot + p[F.in_scales], 2 * num, real)
    values = view(slot + p[F.values], 2 * num, real)
    is_far = view(slot + p[F.is_far], num, np.uint8)
    tops = view(p[F.top], p[F.num_in] * heads, real)
    inverses = view(p[F.inverse], p[F.num_in] * heads, real)
    deltas = view(p[F.delta], p[F.num_in] * heads, real)
    limit = far(keys.itemsize)
    for i in range(num):
        at = np.int64(nodes[i]) * heads + head
        shifted = np.float64(largest[component[i]]) - np.float64(keys[out + i])
        positive, negative = shifted - tops[at], slope * shifted - tops[at]
        is_far[i] = max(positive, negative) > limit
        inverse = real(0) if is_far[i] else inverses[at]
        scales[2 * i], scales[2 * i + 1] = min(positive, limit), min(negative, limit)
        values[2 * i], values[2 * i + 1] = inverse, deltas[at]
    exp_all(scales, 0, 2 * num)
    for i in range(num):
        inverse, delta = values[2 * i], values[2 * i + 1]
        scales[2 * i] *= inverse
        scales[2 * i + 1] *= inverse
        values[2 * i] = scales[2 * i] * delta
        values[2 * i + 1] = scales[2 * i + 1] * delta


@jit
def write_channel_gradients(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Writes some channels of the gradients, and what they add to those of scores."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, num_in, heads, channels = out1 - out0, in1 - in0, p[F.heads], p[F.channels]
    slope = real(view(p[F.slope], 1, np.float64)[0])
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    dots = view(slot + p[F.dots] + chunk * out * scales.itemsize, out, real)
    table += num_in * p[F.entry_bytes]
    begin, width, lanes = chunk_of(p, chunk, scales.itemsize)
    for i in range(out):
        sums = view(table + i * p[F.entry_bytes], 2 * lanes, real)
        row = (np.int64(nodes[i]) * heads + head) * channels + begin
        upper, lower = scales[2 * i], scales[2 * i + 1]
        gradient = view(p[F.out] + row * scales.itemsize, width, real)
        x = view(p[F.x] + row * scales.itemsize, width, real)
        dot = real(0)
        for c in range(width):
            positive, negative = upper * sums[c], lower * sums[lanes + c]
            gradient[c] = positive + negative
            dot += x[c] * (positive + slope * negative)
        dots[i] = dot
    is_far = view(slot + p[F.is_far], num_in, np.uint8)
    for i in range(num_in):
        if is_far[i]:
            add_far_row(p, slot, part, head, chunk, i, real)


@jit
def add_far_row(
    p: Any, slot: int, part: int, head: int, chunk: int, i: int, real: Any
) -> None:
    """Adds the gradients that sources have of one row, edge by edge."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, heads, channels = out1 - out0, p[F.heads], p[F.channels]
    slope = view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    begin, width, _ = chunk_of(p, chunk, keys.itemsize)
    dots = view(slot + p[F.dots] + chunk * out * keys.itemsize, out, real)
    node = np.int64(view(p[F.in_nodes], p[F.num_in], np.int32)[in0 + i])
    at = node * heads + head
    top = view(p[F.top], p[F.num_in] * heads, real)[at]
    inverse = view(p[F.inverse], p[F.num_in] * heads, real)[at]
    delta = view(p[F.delta], p[F.num_in] * heads, real)[at]
    sources = view(p[F.out_nodes], p[F.num_out], np.int32)
    grad = view(p[F.grad] + (at * channels + begin) * keys.itemsize, width, real)
    for j in edges_of(p, part, i):
        is_positive, w = weight(keys[j], -keys[out + i], top, slope)
        w = real(w) * inverse
        row = (np.int64(sources[out0 + j]) * heads + head) * channels + begin
        gradient = view(p[F.out] + row * keys.itemsize, width, real)
        x = view(p[F.x] + row * keys.itemsize, width, real)
        dot = real(0) if chunk else -delta
        for c in range(width):
            gradient[c] += w * grad[c]
            dot += x[c] * grad[c]
        dots[j] += (w if is_positive else real(slope) * w) * dot


@jit
def write_score_gradients(
    p: Any, slot: int, part: int, head: int, begin: int, end: int, real: Any
) -> None:
    """Writes the gradients of the scores of sources from `begin` to `end`."""
    (_, out0, _, _), (_, out1, _, _) = part_of(p, part)
    out, heads = out1 - out0, p[F.heads]
    slope = real(view(p[F.slope], 1, np.float64)[0])
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    sums = view(slot + p[F.sums], 4 * out, real)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    dots = view(slot + p[F.dots], p[F.chunks] * out, real)
    grad_s = view(p[F.grad_s], p[F.num_out] * heads, real)
    for j in range(begin, end):
        upper = sums[2 * j] + sums[2 * (out + j)]
        lower = sums[2 * j + 1] + sums[2 * (out + j) + 1]
        total = -(scales[2 * j] * upper + slope * scales[2 * j + 1] * lower)
        for chunk in range(p[F.chunks]):
            total += dots[chunk * out + j]
        grad_s[np.int64(nodes[j]) * heads + head] = total
