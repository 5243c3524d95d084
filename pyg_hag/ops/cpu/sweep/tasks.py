"""The tasks of a sweep, and the native functions in which threads take them.

A unit is one head of one part. Where there are enough of them, a task is a whole unit,
which stays in the caches of its thread. Otherwise all units go from stage to stage, and
threads share each.
"""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep.backward import (
    scale_rows,
    write_channel_gradients,
    write_score_gradients,
)
from pyg_hag.ops.cpu.sweep.block import F, add_atomic, address_of, view
from pyg_hag.ops.cpu.sweep.forward import normalize, write_channels
from pyg_hag.ops.cpu.sweep.order import (
    BOTH,
    FIRST,
    SECOND,
    find_references,
    list_nodes,
    part_of,
    read_scores,
    scale_sources,
    sort_scores,
)
from pyg_hag.ops.cpu.sweep.sums import sum_channels, sum_scalars
from pyg_hag.runtime.jit import jit

ALL, PREPARE, SUM, NORMALIZE, CHANNELS, SCORES = range(6)
"""The stages."""


@jit
def apart(i: int, count: int) -> int:
    """A place for number i of `count`, not beside those of the numbers next to it.

    Neighbouring heads or channels share cache lines, which threads would take from each
    other when they write to them at the same time.
    """
    even = (count + 1) // 2
    return 2 * i if i < even else 2 * (i - even) + 1


@jit
def prepare(p: Any, slot: int, part: int, head: int, real: Any, word: Any) -> None:
    """Sorts the scores of a unit, and writes the factors of what goes in."""
    if not read_scores(p, slot, part, head, real):
        p[F.failed] = 1
        return
    find_references(p, slot, part, real)
    scale_sources(p, slot, part, real)
    if p[F.is_backward]:
        scale_rows(p, slot, part, head, real)
    sort_scores(p, slot, part, word)


@jit
def write_chunk(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Computes some channels of a unit."""
    sum_channels(p, slot, table, part, head, chunk, real)
    if p[F.is_backward]:
        write_channel_gradients(p, slot, table, part, head, chunk, real)
    else:
        write_channels(p, slot, table, part, head, chunk, real)


@jit
def run_unit(
    p: Any, slot: int, table: int, part: int, head: int, real: Any, word: Any
) -> None:
    """All stages of one unit."""
    prepare(p, slot, part, head, real, word)
    if p[F.failed]:
        return
    (_, out0, _, _), (_, out1, _, _) = part_of(p, part)
    list_nodes(p, slot, part, BOTH)
    sum_scalars(p, slot, table, part, FIRST, real)
    sum_scalars(p, slot, table, part, SECOND, real)
    if not p[F.is_backward]:
        normalize(p, slot, part, head, 0, out1 - out0, real)
    for chunk in range(p[F.chunks]):
        write_chunk(p, slot, table, part, head, chunk, real)
    if p[F.is_backward]:
        write_score_gradients(p, slot, part, head, 0, out1 - out0, real)


@jit
def run_stage(p: Any, thread: int, task: int, real: Any, word: Any) -> None:
    """One task of a stage that threads share."""
    stage, pieces, heads = p[F.stage], p[F.pieces], p[F.heads]
    unit, piece = task // pieces, task % pieces
    part, head = unit // heads, unit % heads
    slot = p[F.slots] + unit * p[F.slot_bytes]
    table = p[F.tables] + thread * p[F.table_bytes]
    (_, out0, _, _), (_, out1, _, _) = part_of(p, part)
    out = out1 - out0
    begin, end = out * piece // pieces, out * (piece + 1) // pieces
    if stage == PREPARE:
        prepare(p, slot, part, head, real, word)
    elif stage == SUM:
        list_nodes(p, slot, part, piece)
        sum_scalars(p, slot, table, part, piece, real)
    elif stage == NORMALIZE:
        normalize(p, slot, part, head, begin, end, real)
    elif stage == CHANNELS:
        write_chunk(p, slot, table, part, head, apart(piece, pieces), real)
    else:
        write_score_gradients(p, slot, part, head, begin, end, real)


@jit
def run_thread(at: int, real: Any, word: Any) -> None:
    """Takes tasks until none is left."""
    p = view(at, len(F), np.int64)
    thread = add_atomic(at + 8 * F.thread, 1)
    while not p[F.failed]:
        task = add_atomic(at + 8 * F.next_task, 1)
        if task >= p[F.num_tasks]:
            break
        if p[F.stage] == ALL:
            part, head = task // p[F.heads], apart(task % p[F.heads], p[F.heads])
            slot = p[F.slots] + thread * p[F.slot_bytes]
            table = p[F.tables] + thread * p[F.table_bytes]
            run_unit(p, slot, table, part, head, real, word)
        else:
            run_stage(p, thread, task, real, word)


def sweep_float32(at: Any) -> None:
    """What each thread runs in float32."""
    run_thread(address_of(at), np.float32, np.uint32)


def sweep_float64(at: Any) -> None:
    """What each thread runs in float64."""
    run_thread(address_of(at), np.float64, np.uint64)
