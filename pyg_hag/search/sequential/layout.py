"""From the trie of lists and the prefixes that are kept to the flat arrays of a HAG."""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import bucket, lengths
from pyg_hag.hag.arrays import Flat
from pyg_hag.runtime.jit import jit
from pyg_hag.search.sequential.prefix_trie import Steps, Trie
from pyg_hag.utils.arrays import I32, I64, Bool


class _Output(NamedTuple):
    """The rows of the HAG, written one by one.

    Attributes:
        src: Source inputs of all rows.
        agg: Aggregate inputs of all rows.
        src_count: Number of source inputs of each row, `[num_rows]`.
        agg_count: Number of aggregate inputs of each row, `[num_rows]`.
        used: How many sources, aggregates and rows are written, `[3]`.
    """

    src: I64
    agg: I64
    src_count: I64
    agg_count: I64
    used: I64


@jit
def write(
    row_ptr: I64,
    row: I32,
    trie: Trie,
    keep: Bool,
    steps: Steps,
    num_groups: int,
    group: I32,
) -> Flat:
    """The flat arrays of the HAG.

    A row reads its longest kept prefix, then its other sources in order. Rows are
    written group by group, aggregates first.

    Args:
        row_ptr: List v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_dst + 1]`.
        row: The sources of the lists.
        trie: Their trie.
        keep: The prefixes that are aggregates, `[num_nodes]`.
        steps: What :func:`count_steps` returns for these.
        num_groups: Number of groups.
        group: The group of each list, `[num_dst]`; -1 for empty ones.
    """
    nodes = keep.nonzero()[0]
    aggs_ptr, agg_order = bucket(group[trie.reader[nodes]], num_groups)
    dsts_ptr, dst_order = bucket(group, num_groups)
    num_rows = nodes.size + trie.last.size
    out = _Output(
        np.empty(steps.total, np.int64),
        np.empty(num_rows, np.int64),
        np.zeros(num_rows, np.int64),
        np.zeros(num_rows, np.int64),
        np.zeros(3, np.int64),
    )
    number = np.zeros(trie.parent.size, np.int64)  # of each kept prefix
    for g in range(num_groups + 1):
        for i in range(aggs_ptr[g], aggs_ptr[g + 1]):
            c = nodes[agg_order[i]]
            number[c] = i
            begin = row_ptr[trie.reader[c]]
            prefix = steps.nearest[trie.parent[c]]
            sources = row[begin + trie.depth[prefix] : begin + trie.depth[c]]
            _write_row(prefix, number[prefix], sources, out)
        for i in range(dsts_ptr[g], dsts_ptr[g + 1]):
            v = dst_order[i]
            prefix = steps.nearest[trie.last[v]]
            sources = row[row_ptr[v] + trie.depth[prefix] : row_ptr[v + 1]]
            _write_row(prefix, number[prefix], sources, out)
    groups = num_groups + (1 if dsts_ptr[-1] > dsts_ptr[-2] else 0)
    none = np.empty(0, np.int64)
    return Flat(
        out.src,
        out.agg[: out.used[1]].copy(),
        out.src_count,
        out.agg_count,
        dst_order.astype(np.int64),
        lengths(aggs_ptr, groups),
        lengths(dsts_ptr, groups),
        none,
        none,
    )


@jit
def _write_row(prefix: int, number: int, sources: I32, out: _Output) -> None:
    """Writes a row that reads the aggregate of a prefix, if any, then sources."""
    num_src, num_agg, r = out.used
    if prefix > 0:
        out.agg[num_agg] = number
        out.agg_count[r] = 1
        num_agg += 1
    for u in sources:
        out.src[num_src] = u
        num_src += 1
    out.src_count[r] = sources.size
    out.used[:] = num_src, num_agg, r + 1
