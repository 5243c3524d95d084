"""The arrays of a HAG on the host, and what follows from its rows."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from pyg_hag.hag.arrays import Flat, PathCounts, Rows
from pyg_hag.hag.paths import count_paths
from pyg_hag.hag.structure import row_targets
from pyg_hag.utils.arrays import pointers, total
from pyg_hag.utils.tensors import ordinary_tensors


class HostRows:
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
        self._versions = self._changes()

    @property
    def flat(self) -> Flat:
        """The flat arrays of the HAG.

        Raises:
            RuntimeError: If a tensor was written to since it was checked.
        """
        if self._changes() != self._versions:
            raise RuntimeError(
                "a tensor of the HAG was changed in place: a HAG is immutable, change "
                "a copy such as 'hag.src.clone()' and build a new one of it"
            )
        return self._flat

    @property
    def rows(self) -> Rows:
        """The rows with pointers to their inputs; raises like :attr:`flat`."""
        _ = self.flat
        return self._rows

    def _changes(self) -> list[int]:
        """How often each tensor was written to."""
        return [t._version for t in self._tensors if not t.is_inference()]

    @cached_property
    def _flat(self) -> Flat:
        with ordinary_tensors():
            return Flat(*(tensor.cpu().numpy() for tensor in self._tensors))

    @cached_property
    def _rows(self) -> Rows:
        flat = self._flat
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
