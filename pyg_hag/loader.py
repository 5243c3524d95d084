"""A loader of PyG that would search the same graphs again in each epoch."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.loader import ClusterData, ClusterLoader

from pyg_hag.hag import HAG
from pyg_hag.hag.edit import merged, with_edges
from pyg_hag.hag.host import HostHAG
from pyg_hag.search.build import build_with
from pyg_hag.search.options import SearchOptions
from pyg_hag.transforms import HAGTransform


class HAGClusterLoader(ClusterLoader):
    r"""PyG's :class:`~torch_geometric.loader.ClusterLoader` for batches with HAGs.

    Each cluster is searched when it is first loaded, and its HAG is kept. The HAG of a
    batch consists, without another search, of those of its clusters and of the edges
    between these, which are not shared (`Cluster-GCN
    <https://arxiv.org/abs/1905.07953>`_, Section 3.2).

    Args:
        cluster_data (torch_geometric.loader.ClusterData): The clusters.
        transform (HAGTransform, optional): How to build the HAGs; `HAGTransform()` if
            None. A sequential HAG is built anew for each batch.
        **kwargs (optional): Additional arguments of `ClusterLoader`, such as
            `batch_size` and `shuffle`. Each worker keeps its own HAGs: set
            `persistent_workers`.

    Raises:
        TypeError: If `transform` is not a :class:`HAGTransform`.

    Example:
        >>> clusters = ClusterData(data, num_parts=100)
        >>> for batch in HAGClusterLoader(clusters, batch_size=4, shuffle=True):
        ...     out = model(batch.x, batch.hag)
    """

    def __init__(
        self,
        cluster_data: ClusterData,
        transform: HAGTransform | None = None,
        **kwargs: Any,
    ) -> None:
        transform = HAGTransform() if transform is None else transform
        if not isinstance(transform, HAGTransform):
            raise TypeError(
                f"'transform' must be a HAGTransform (got {type(transform).__name__})"
            )
        self._transform = transform
        self._hags: dict[int, HAG] = {}
        for name in ("dataset", "collate_fn"):  # Lightning passes them when it copies
            kwargs.pop(name, None)
        super().__init__(cluster_data, **kwargs)

    def _collate(self, batch: Any) -> Any:
        transform = copy.copy(self._transform)
        clusters = torch.as_tensor(batch).tolist()
        transform._search = _Search(self, clusters)  # type: ignore[method-assign]
        return transform(super()._collate(batch))


class _Search:
    """Builds the HAG of a batch of clusters from theirs."""

    def __init__(self, loader: HAGClusterLoader, clusters: list[int]) -> None:
        self.hags, self.clusters = loader._hags, clusters
        sizes = loader.cluster_data.partition.partptr.diff()
        self.sizes = sizes[clusters]

    def __call__(
        self, edge_index: Tensor, size: tuple[int, int], options: SearchOptions
    ) -> HAG:
        if options.order == "sequential" or options.capacity == 0:
            return build_with(edge_index, size, options)
        count = len(self.clusters)
        cluster = torch.arange(count, device=edge_index.device).repeat_interleave(
            self.sizes
        )
        start = self.sizes.cumsum(0) - self.sizes
        ends = cluster[edge_index]
        inside = ends[0] == ends[1]
        parts = []
        for i, number in enumerate(self.clusters):
            if number not in self.hags:
                edges = edge_index[:, inside & (ends[0] == i)] - start[i]
                both = int(self.sizes[i]), int(self.sizes[i])
                self.hags[number] = build_with(edges, both, options)
            parts.append(self.hags[number])
        between = edge_index[:, ~inside].numpy()
        hosts = [hag.host for hag in parts]
        num_src = int(self.sizes.sum())
        together = HostHAG.from_arrays(num_src, merged(hosts))
        return HAG.from_arrays(num_src, with_edges(together, *between))
