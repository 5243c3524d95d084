"""Whether attention is shared over a HAG, or computed by a fused kernel."""

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.attention.cost import fused_time, sweep_time
from pyg_hag.ops.attention.dropout import Dropout
from pyg_hag.ops.attention.scores import Scores
from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.plan.sweep import sweep_plan
from pyg_hag.runtime.first_use import readiness

MANY_EDGES = 1 << 26
"""The fused kernel lists the edges. Where there are more, a sweep may take longer."""
_PATIENCE = 2.0  # by this factor

_forced: list[bool] = []


@contextlib.contextmanager
def forced(shares: bool) -> Iterator[None]:
    """Within it, attention is shared wherever it can be, or nowhere.

    Args:
        shares: Whether it is shared.
    """
    _forced.append(shares)
    try:
        yield
    finally:
        _forced.pop()


def is_shared(
    scores: Scores,
    hag: HAG,
    dropout: Dropout | None,
    inputs: Sequence[Tensor | None],
    step: str,
) -> bool:
    """Whether a sweep over the HAG is exact, and predicted to be faster.

    Not for scores with terms of edges, coefficients that are dropped, or slopes with
    which the score does not grow with its argument.

    Args:
        scores: How scores are computed.
        hag: The graph.
        dropout: Which coefficients are dropped.
        inputs: Key, value, query, attention vector and the edges' terms.
        step: See :func:`pays`.
    """
    if scores.kind != "gat" or dropout is not None or inputs[4] is not None:
        return False
    if not 0 <= scores.slope <= 1 or hag.is_signed or hag.is_sequential:
        return False
    if hag.num_aggregates == 0 or (scores.loops and hag.num_src != hag.num_dst):
        return False
    if _forced:
        return _forced[-1]
    value = inputs[1]
    assert value is not None
    name = str(value.dtype).removeprefix("torch.")
    shape = value.size(1), value.size(2), name
    return readiness.is_ready_now() and pays(hag, scores.loops, *shape, step)


def swept(hag: HAG, loops: bool) -> HAG:
    """The HAG to sweep over: with one self-loop for each node, if so."""
    return hag.with_self_loops() if loops else hag


@once_per_hag
def pays(
    hag: HAG, loops: bool, heads: int, channels: int, dtype: str, step: str
) -> bool:
    """Whether a sweep is predicted to take less than the fused kernel.

    Args:
        hag: The graph.
        loops: Whether self-loops are added.
        heads: Number of heads.
        channels: Channels of each head.
        dtype: `"float32"` or `"float64"`.
        step: `"inference"`, `"forward"` with what the backward pass needs, or
            `"backward"`.
    """
    plan = sweep_plan(swept(hag, loops))
    layout = Layout(dtype, heads, channels)
    patience = _PATIENCE if plan.num_edges > MANY_EDGES else 1.0
    return sweep_time(plan, layout, step) < patience * fused_time(plan, layout, step)
