"""Time, memory and parameters of EGC, compared with PyG's layers of equal width."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import EGConv, GATConv, PNAConv
from torch_geometric.utils import degree
from torch_geometric.utils import to_torch_csr_tensor as to_csr
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import measure, trained
from pyg_hag.benchmark.memory import peak
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.nn import HAGEGConv
from pyg_hag.search import build_hag

SEVERAL = ["symnorm", "max", "std"]
"""The aggregators of EGC-M; the paper uses three as well."""
HEADER = [
    *("graph", "F", "layer", "graph as", "parameters"),
    *("ms", "MB", "training ms", "MB"),
]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times each layer and measures its peak memory beyond the input (Linux).

    Layers whose messages exceed :data:`MAX_MESSAGE_BYTES` are left out.

    Returns:
        list[list[str]]: A table: parameters, and milliseconds and megabytes at the
        peak, of the forward pass and of forward and backward.
    """
    rows: list[dict[str, Any]] = []
    for name in tqdm(names, "layers"):
        edge_index, num_nodes = as_one_graph(load_graphs(name, root))
        for width in widths:
            rows += _rows(name, edge_index, num_nodes, width)
    if out is not None:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def _rows(
    name: str, edge_index: Tensor, num_nodes: int, width: int
) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x = torch.randn(num_nodes, width)
    hag = build_hag(edge_index, num_nodes, num_features=width // 2)
    csr = to_csr(edge_index.flip(0), size=(num_nodes, num_nodes))
    layers = _layers(width, edge_index, num_nodes)
    calls: dict[tuple[str, str], Callable[[], Tensor]] = {}
    for layer, (module, inner) in layers.items():
        if layer.startswith("EGC"):
            calls[layer, "HAG"] = partial(module, x, hag)
            module = _pyg(module)
            if layer == "EGC-S":  # on CSR, PyG only has sums
                calls[layer, "CSR"] = partial(module, x, csr)
        if edge_index.size(1) * inner * 4 <= MAX_MESSAGE_BYTES:
            calls[layer, "edge_index"] = partial(module, x, edge_index)
    steps = {key: partial(trained, call) for key, call in calls.items()}
    with torch.no_grad():
        forward = measure({str(k): call for k, call in calls.items()}, 7, 10.0)
        memory = {key: peak(call) for key, call in calls.items()}
    training = measure({str(k): step for k, step in steps.items()}, 7, 10.0)
    return [
        {
            "graph": name,
            "width": width,
            "layer": layer,
            "form": form,
            "parameters": sum(p.numel() for p in layers[layer][0].parameters()),
            "milliseconds forward": 1e3 * forward[str((layer, form))].median,
            "megabytes forward": memory[layer, form],
            "milliseconds training": 1e3 * training[str((layer, form))].median,
            "megabytes training": peak(steps[layer, form]),
        }
        for layer, form in calls
    ]


def _layers(
    width: int, edge_index: Tensor, num_nodes: int
) -> dict[str, tuple[nn.Module, int]]:
    """The layers, and the number of values in their message for one edge."""
    counts = degree(
        degree(edge_index[1], num_nodes, dtype=torch.long), dtype=torch.long
    )
    scalers = ["identity", "amplification", "attenuation"]
    several = ["mean", "min", "max", "std"]
    pna = PNAConv(width, width, several, scalers, counts, towers=4, divide_input=True)
    single = HAGEGConv(width, width, num_heads=8, num_bases=4)
    multi = HAGEGConv(width, width, SEVERAL, num_heads=4, num_bases=4)
    return {
        "EGC-S": (single, width // 2),
        "EGC-M": (multi, width),
        "GATConv": (GATConv(width, width // 8, heads=8), width),
        "PNAConv": (pna, 4 * width),
    }


def _pyg(layer: Any) -> nn.Module:
    names = "num_heads", "num_bases"
    other = EGConv(
        layer.in_channels,
        layer.out_channels,
        layer.aggregators,
        **{name: getattr(layer, name) for name in names},
    )
    other.load_state_dict(layer.state_dict())
    return other


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row[key] for key in ("graph", "width", "layer", "form", "parameters")]
    for mode in ("forward", "training"):
        cells.append(f"{row[f'milliseconds {mode}']:.1f}")
        cells.append(f"{row[f'megabytes {mode}']:.0f}")
    return [str(cell) for cell in cells]
