"""Makes the graph or the HAG of a meta-path: a process that :mod:`._child` runs."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch_geometric import transforms as T
from torch_geometric.data import HeteroData

from pyg_hag.analysis.memory import peak
from pyg_hag.benchmark._bibliographies import bare, ends, steps
from pyg_hag.datasets import generate_bibliography
from pyg_hag.hag import HAG
from pyg_hag.transforms import HAGMetaPaths, HAGTransform

PRODUCT, OF_PRODUCT = "AddMetaPaths", "HAG of the product"
WEIGHTED_PRODUCT = "AddMetaPaths, weighted"
OURS: dict[str, dict[str, Any]] = {
    "HAGMetaPaths": {},
    "subtract": {"subtract": True},
    "max": {"reduce": "max"},
    "weighted": {"weighted": True},
}
"""The arguments of our transform."""
BUDGET = 10.0  # seconds after which nothing is made again
_ONLY: dict[str, Any] = {
    "drop_orig_edge_types": True,
    "drop_unconnected_node_types": True,
}

Transform = Callable[[HeteroData], HeteroData]


def transform(way: str, path: str, width: int) -> Transform:
    """What makes the graph of a meta-path, or its HAG."""
    metapaths = [steps(path)]
    search: dict[str, Any] = {"num_features": width, "progress": False}
    if way in OURS:
        ours: Transform = HAGMetaPaths(metapaths, **_ONLY, **OURS[way], **search)
        return ours
    weighted = way == WEIGHTED_PRODUCT
    product = T.AddMetaPaths(metapaths, **_ONLY, weighted=weighted)
    made: Transform = product
    if way == OF_PRODUCT:
        made = T.Compose([product, HAGTransform(**search)])
    return made


def hag_of(data: Any, path: str) -> HAG:
    """The HAG that was made."""
    hag: HAG = data.hag_dict[ends(path)]
    return hag


def measured(
    way: str, path: str, width: int, data: HeteroData, rounds: int
) -> dict[str, Any]:
    """Seconds of each call, megabytes beyond the data, and the size of what is made."""
    make = transform(way, path, width)
    make(bare(generate_bibliography(1000, 300, 10, 50)))  # loads machine code
    seconds: list[float] = []
    kept: list[HeteroData] = []

    def call() -> None:
        kept.clear()
        start = time.perf_counter()
        kept.append(make(data))
        seconds.append(time.perf_counter() - start)

    megabytes = peak(call, warm=False)
    while not seconds or (len(seconds) < rounds and sum(seconds) < BUDGET):
        call()
    return {"way": way, "seconds": seconds, "megabytes": megabytes} | _size(
        way, path, kept[0]
    )


def _size(way: str, path: str, made: Any) -> dict[str, Any]:
    if way in (PRODUCT, WEIGHTED_PRODUCT):
        return {"edges": made[ends(path)].edge_index.size(1)}
    hag = hag_of(made, path)
    size = {
        "aggregates": hag.num_aggregates,
        "reads": int(hag.src_count.sum() + hag.agg_count.sum()),
    }
    # To count edges that several paths make would take long:
    return size if hag.of_paths else {"edges": hag.num_edges, **size}


def main() -> None:
    """Writes a line for each way of the task."""
    task = json.loads(sys.argv[1])
    data = torch.load(task["file"], weights_only=False)
    for way in task["ways"]:
        row = measured(way, task["path"], task["width"], data, task["rounds"])
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
