"""A HAG on the host: its arrays, and what is computed from them, each once."""

from collections.abc import Sequence
from functools import cached_property
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag.arrays import Flat, PathCounts, Rows
from pyg_hag.hag.paths import (
    count_paths,
    count_self_loops,
    expand,
    expand_signed,
    keep_self,
)
from pyg_hag.hag.stats import HAGStats
from pyg_hag.hag.structure import row_targets
from pyg_hag.hag.transpose import is_symmetric, transpose
from pyg_hag.utils.arrays import I64, pointers, total
from pyg_hag.utils.tensors import ordinary_tensors

_MAX_LISTED = 2**37  # edges; a HAG may represent more than fit in memory


class HostHAG:
    """The arrays of a HAG on the host, whatever its device.

    Args:
        num_src: Number of sources.
        tensors: The flat tensors of the HAG.
        sequential: Whether the order of inputs matters.
    """

    def __init__(
        self, num_src: int, tensors: Sequence[Tensor], sequential: bool
    ) -> None:
        self.num_src = num_src
        self.num_dst = tensors[Flat._fields.index("dst")].numel()
        self.is_sequential = sequential
        self.is_signed = tensors[Flat._fields.index("src_minus")].numel() > 0
        self._tensors = tensors

    @classmethod
    def from_arrays(cls, num_src: int, arrays: Sequence[I64]) -> "HostHAG":
        """Makes a set HAG of flat arrays."""
        return cls(num_src, [torch.from_numpy(array) for array in arrays], False)

    @cached_property
    def flat(self) -> Flat:
        """The flat arrays of the HAG."""
        with ordinary_tensors():
            return Flat(*(tensor.cpu().numpy() for tensor in self._tensors))

    @cached_property
    def rows(self) -> Rows:
        """The rows with pointers to their inputs."""
        flat = self.flat
        target = row_targets(flat.group_aggs, flat.group_dsts, flat.dst)
        src_ptr, agg_ptr = pointers(flat.src_count), pointers(flat.agg_count)
        src_mid, agg_mid = src_ptr[1:], agg_ptr[1:]
        if self.is_signed:
            src_mid, agg_mid = src_mid - flat.src_minus, agg_mid - flat.agg_minus
        return Rows(target, src_ptr, src_mid, flat.src, agg_ptr, agg_mid, flat.agg)

    @cached_property
    def paths(self) -> PathCounts:
        """The number of paths to each destination, and their lengths."""
        return count_paths(self.rows, self.num_dst)

    @cached_property
    def num_edges(self) -> int:
        """Number of edges of the graph."""
        return total(self.paths.degree)

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether the graph is its own transpose."""
        if self.num_src != self.num_dst:
            return False
        return bool(is_symmetric(self.num_dst, self.rows))

    @cached_property
    def self_loops(self) -> I64:
        """Number of self-loops of each node, `[num_dst]`."""
        return count_self_loops(*self.csr())

    def stats(self, decision: str) -> HAGStats:
        """The cost of the HAG.

        Args:
            decision: What the search chose and why.
        """
        flat, degree = self.flat, self.paths.degree
        inputs = flat.src_count + flat.agg_count
        return HAGStats(
            num_edges=self.num_edges,
            num_aggregates=flat.src_count.size - self.num_dst,
            num_groups=flat.group_aggs.size,
            depth=int(self.paths.depth),
            max_inputs=int(inputs.max(initial=0)),
            plain_aggregations=total((degree - 1).clip(min=0)),
            aggregations=int((inputs - 1).clip(min=0).sum()),
            reads=int(inputs.sum()),
            subtractions=int(flat.src_minus.sum() + flat.agg_minus.sum()),
            steps=flat.src.size if self.is_sequential else None,
            decision=decision,
        )

    def transposed(self) -> Flat:
        """The HAG with every edge reversed."""
        return transpose(self.num_src, self.rows, self.flat, self.is_signed)

    def closed(self) -> tuple[Flat, I64]:
        """The HAG in which no destination subtracts itself.

        Also returns the number of self-loops that this adds to each destination,
        `[num_dst]`.
        """
        src, src_count, src_minus, added = keep_self(self.rows, self.num_dst)
        agg_minus = self.flat.agg_minus
        if not src_minus.any() and not agg_minus.any():
            src_minus = agg_minus = src_minus[:0]
        flat = self.flat._replace(
            src=src, src_count=src_count, src_minus=src_minus, agg_minus=agg_minus
        )
        return flat, added

    def csr(self) -> tuple[I64, I64]:
        """The graph in CSR form: row pointers by destination, sorted sources.

        Raises:
            ValueError: If the HAG represents no graph, or one too large to list.
        """
        degree = num_paths = self.paths.degree
        if self.is_signed:
            num_paths = self._paths_of_either_sign()
            if (degree < 0).any():
                _raise_negative(-1, int((degree < 0).nonzero()[0][0]))
        if total(num_paths) > _MAX_LISTED:
            raise ValueError(
                f"the HAG represents {total(num_paths):.3g} edges, which are too many "
                f"to list"
            )
        ptr = pointers(degree)
        col = np.empty(int(ptr[-1]), np.int64)
        if self.is_signed:
            u, v = expand_signed(self.rows, int(num_paths.max(initial=0)), ptr, col)
            if v >= 0:
                _raise_negative(u, v)
        else:
            expand(self.rows, ptr, col)
        return ptr, col

    def _paths_of_either_sign(self) -> I64:
        rows = self.rows
        added = rows._replace(src_mid=rows.src_ptr[1:], agg_mid=rows.agg_ptr[1:])
        return count_paths(added, self.num_dst).degree

    def edge_index(self) -> I64:
        """The edges, `[2, num_edges]`, sorted by destination and then by source."""
        ptr, col = self.csr()
        return np.stack([col, np.repeat(np.arange(self.num_dst), np.diff(ptr))])


def _raise_negative(u: int, v: int) -> NoReturn:
    """Raises the error of a HAG that subtracts paths that it does not add."""
    paths = "paths" if u < 0 else f"paths from source {u}"
    raise ValueError(
        f"the HAG subtracts more {paths} to destination {v} than it adds, so it "
        f"represents no graph; use 'build_hag' to build a valid one"
    )
