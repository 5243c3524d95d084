"""Time of layers with attention on a GPU, compared with PyG's on `edge_index`.

The forward pass alone, and with the gradients of the features and parameters.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.benchmark._device_timing import Call, copies_of, measure_calls
from pyg_hag.benchmark._graphs import load_one
from pyg_hag.benchmark._report import Row, Rows, Table, by_contender, times
from pyg_hag.benchmark.case import Case
from pyg_hag.nn import to_hag
from pyg_hag.ops.attention import Scores, attention
from pyg_hag.search import build_hag

WIDTH = 64
MODELS = {"GAT, 2 layers of 8 x 8": (2, 8, 8), "GAT, 1 layer of 1 x 64": (1, 1, 64)}
"""Layers, heads and channels."""
EDGES, HAG = "edge_index", "HAG"
HEADER = ["attention", "graph", "pass", "HAG ms", "over edge_index"]
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}
_ARRAYS_OF_EDGES = 8
"""Arrays of features of all edges that PyG's layer needs at a time, at most."""


class _Layers(nn.Module):
    def __init__(self, layers: int, heads: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            # Loops are in the graph: PyG waits for the device to add them.
            GATConv(WIDTH, channels, heads, add_self_loops=False)
            for _ in range(layers)
        )

    def forward(self, x: Tensor, graph: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, graph).relu()
        return x


def measure(
    names: list[str], settings: Settings, device: str, budget: float = 1.0
) -> Iterator[Rows]:
    """Times models in float32 on a device.

    Args:
        names: The graphs.
        settings: Where their files are.
        device: The type of the device.
        budget: Seconds for each graph, model and pass.
    """
    for name in tqdm(names, "attention"):
        edge_index, num_nodes = load_one(name, settings)
        loops = torch.arange(num_nodes).expand(2, -1)
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
        edge_index = torch.cat([edge_index, loops], 1)
        hag = build_hag(edge_index, num_nodes, capacity=0).to(device)
        graphs = {EDGES: edge_index.to(device), HAG: hag}
        for model in MODELS:
            for trained in (False, True):
                labels = {"graph": name, "model": model, "trained": trained}
                yield _timed(labels, graphs, num_nodes, device, budget)


def _timed(
    labels: dict[str, Any],
    graphs: dict[str, Any],
    num_nodes: int,
    device: str,
    budget: float,
) -> Rows:
    torch.manual_seed(0)
    trained = labels["trained"]
    theirs = _Layers(*MODELS[labels["model"]]).to(device)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else None
    copies = copies_of(4 * num_nodes * WIDTH, free)
    xs = [
        torch.randn(num_nodes, WIDTH, device=device, requires_grad=trained)
        for _ in range(copies)
    ]
    models = {EDGES: theirs, HAG: to_hag(theirs)}
    of_edges = graphs[EDGES].size(1) * xs[0][0].nbytes
    if free is not None and _ARRAYS_OF_EDGES * of_edges > free:
        del models[EDGES]
    calls: dict[str, Call] = {
        name: partial(_called, model, graphs[name], xs, trained)
        for name, model in models.items()
    }
    case = Case(
        labels,
        {name: partial(call, 0) for name, call in calls.items()},
        EDGES if EDGES in calls else HAG,
        gradients=trained,
    )
    case.check()
    with torch.set_grad_enabled(trained):
        seconds, captured = measure_calls(calls, copies, device, budget=budget)
    return [
        {**row, "captured": row["contender"] in captured, "inputs": copies}
        for row in case.rows(seconds)
    ]


def _called(
    model: nn.Module, graph: Any, xs: list[Tensor], trained: bool, i: int
) -> Tensor | list[Tensor]:
    out: Tensor = model(xs[i], graph)
    if not trained:
        return out
    return [*torch.autograd.grad(out.sum(), [xs[i], *model.parameters()])]


def table(rows: Rows) -> Table:
    """Milliseconds over the HAG, and its speedup over PyG's own layers."""
    lines = [HEADER]
    for case in by_contender(rows, "graph", "model", "trained").values():
        ours = case[HAG]
        passes = "forward + backward" if ours["trained"] else "forward"
        ms = ours["milliseconds_50"]
        over = case[EDGES]["milliseconds_50"] / ms if EDGES in case else None
        cells = ours["model"], ours["graph"], passes, f"{ms:.3g}", times(over)
        lines.append([*cells])
    return lines


# Correctness ##################################################################


def check(device: str, graphs: dict[str, tuple[Tensor, int]]) -> Rows:
    """Compares results and gradients with those edge by edge on the CPU in float64."""
    rows = []
    for name, (edge_index, num_nodes) in graphs.items():
        for kind in ("gat", "gatv2", "dot"):
            for dtype, tolerance in TOLERANCES.items():
                error = _error(kind, edge_index, num_nodes, dtype, device)
                row: Row = {"what": f"attention {kind}, {dtype}", "graph": name}
                rows.append({**row, "error": error, "right": error < tolerance})
    return rows


def _error(
    kind: str, edge_index: Tensor, num_nodes: int, dtype: torch.dtype, device: str
) -> float:
    """The largest error, relative to the largest value of each tensor."""
    torch.manual_seed(0)
    hag = build_hag(edge_index, num_nodes, capacity=0)
    ends = (num_nodes, 3) if kind == "gat" else (num_nodes, 3, 20)
    inputs: list[Any] = [torch.randn(*ends), torch.randn(num_nodes, 3, 20)]
    inputs += [torch.randn(*ends), torch.randn(3, 20) if kind == "gatv2" else None]
    grad = torch.randn(num_nodes, 3, 20)
    scores = Scores(kind, scale=20**-0.5, loops=True)

    def computed(dtype: torch.dtype, device: str, backend: str | None) -> list[Tensor]:
        leaves: list[Any] = [
            t if t is None else t.to(device, dtype).requires_grad_() for t in inputs
        ]
        if kind == "gatv2":
            leaves[1] = leaves[0]
        given = list({id(t): t for t in leaves if t is not None}.values())
        key, value, query, att = leaves
        there = hag.to(device)
        out = attention(scores, key, value, query, there, att, backend=backend)
        grads = torch.autograd.grad(out, given, grad.to(out))
        return [out.detach(), *grads]

    wanted = computed(torch.float64, "cpu", "torch")
    found = computed(dtype, device, None)
    again = computed(dtype, device, None)
    if not all(map(torch.equal, found, again)):
        return float("inf")  # results must be reproducible bit for bit
    return max(
        float((a.cpu().double() - b).abs().max() / b.abs().max().clamp(min=1))
        for a, b in zip(found, wanted, strict=True)
    )
