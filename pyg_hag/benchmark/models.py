"""Time of PyG's own models on a HAG, after `to_hag`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.utils import to_torch_csr_tensor
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import measure, trained
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.nn import to_hag
from pyg_hag.search import build_hag

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "GCN, 3 layers": lambda f: pyg.GCN(f, f, 3),
    "GraphSAGE, 3 layers": lambda f: pyg.GraphSAGE(f, f, 3),
    "GraphSAGE max, 3 layers": lambda f: pyg.GraphSAGE(f, f, 3, aggr="max"),
    "GIN, 3 layers": lambda f: pyg.GIN(f, f, 3),
    "SGConv, K=2": lambda f: pyg.SGConv(f, f, K=2),
    "APPNP, K=10": lambda f: pyg.APPNP(10, 0.1),
    "TAGConv, K=3": lambda f: pyg.TAGConv(f, f),
    "ChebConv, K=3": lambda f: pyg.ChebConv(f, f, 3),
    "GAT, 2 layers": lambda f: pyg.GAT(f, f, 2),
}
NOT_ON_CSR = ("ChebConv, K=3",)
"""Models that PyG cannot run on a sparse tensor of PyTorch."""

HEADER = [
    *("graph", "F", "model", "ms", "over edge_index", "over CSR"),
    *("training ms", "over edge_index", "over CSR"),
]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times models of PyG's layers, as they are and after `to_hag`.

    On the fastest HAG; normalisation is included in the time. `edge_index` is left out
    where its messages exceed :data:`MAX_MESSAGE_BYTES`.

    Returns:
        list[list[str]]: A table: milliseconds on a HAG, of the forward pass and of
        forward and backward, and the speedups over PyG's model on `edge_index` and on
        a sparse matrix (CSR).
    """
    rows: list[dict[str, Any]] = []
    for name in tqdm(names, "models"):
        edge_index, num_nodes = as_one_graph(load_graphs(name, root))
        for width in widths:
            x = torch.randn(num_nodes, width, requires_grad=True)
            graphs = {
                "HAG": build_hag(edge_index, num_nodes, num_features=width),
                "CSR": to_torch_csr_tensor(edge_index.flip(0), size=(num_nodes,) * 2),
            }
            if edge_index.size(1) * width * 4 <= MAX_MESSAGE_BYTES:
                graphs["edge_index"] = edge_index
            for label in MODELS:
                row = {"graph": name, "width": width, "model": label}
                rows.append(row | _times(label, x, graphs))
    if out is not None:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def _times(label: str, x: Tensor, graphs: dict[str, Any]) -> dict[str, float]:
    torch.manual_seed(0)
    model = MODELS[label](x.size(1)).eval()
    calls: dict[str, Callable[[], Tensor]] = {}
    for form in graphs:
        if form != "CSR" or label not in NOT_ON_CSR:
            module = to_hag(model) if form == "HAG" else model
            calls[form] = partial(module, x, graphs[form])
    with torch.no_grad():
        forward = measure(calls, 7, 6.0)
    steps = {form: partial(trained, call) for form, call in calls.items()}
    row: dict[str, float] = {}
    for mode, times in ("forward", forward), ("training", measure(steps, 7, 8.0)):
        row[f"milliseconds {mode}"] = 1e3 * times["HAG"].median
        for form in calls.keys() - {"HAG"}:
            row[f"{mode} over {form}"] = times["HAG"].speedup_over(times[form])
    return row


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row["graph"], str(row["width"]), row["model"]]
    for mode in ("forward", "training"):
        cells.append(f"{row[f'milliseconds {mode}']:.1f}")
        for form in ("edge_index", "CSR"):
            ratio = row.get(f"{mode} over {form}", "")
            cells.append("-" if ratio == "" else f"{ratio:.2f}x")
    return cells
