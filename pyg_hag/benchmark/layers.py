"""Time, memory and parameters of EGC, compared with PyG's layers of equal width."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import EGConv, GATConv, PNAConv
from torch_geometric.utils import degree
from torch_geometric.utils import to_torch_csr_tensor as to_csr

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._report import Rows, Table, by_contender
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import trained
from pyg_hag.benchmark.case import Case
from pyg_hag.nn import HAGEGConv
from pyg_hag.search import build_hag

SEVERAL = ["symnorm", "max", "std"]
"""The aggregators of EGC-M; the paper uses three as well."""
BASELINE = "EGC-S, HAG"
MODES = ("forward", "training")
HEADER = [
    *("graph", "F", "layer", "graph as", "parameters"),
    *("ms", "MB", "training ms", "MB"),
]


def cases(settings: Settings) -> Iterator[Case]:
    """Layers on a HAG, a sparse matrix and `edge_index`.

    Those whose messages exceed :data:`MAX_MESSAGE_BYTES` are left out.
    """
    for name in graph_names(settings):
        edge_index, num_nodes = load_one(name, settings)
        for width in settings.widths_or(WIDTHS):
            yield from _of_graph(name, edge_index, num_nodes, width)


def _of_graph(
    name: str, edge_index: Tensor, num_nodes: int, width: int
) -> Iterator[Case]:
    torch.manual_seed(0)
    x = torch.randn(num_nodes, width, requires_grad=True)
    hag = build_hag(edge_index, num_nodes, num_features=width // 2)
    csr = to_csr(edge_index.flip(0), size=(num_nodes, num_nodes))
    calls: dict[str, Callable[[], Tensor]] = {}
    steps: dict[str, Callable[[], Any]] = {}
    facts: dict[str, dict[str, Any]] = {}
    wanted: dict[str, str | None] = {}
    for layer, (module, inner) in _layers(width, edge_index, num_nodes).items():
        parameters = sum(p.numel() for p in module.parameters())
        for form, graph in ("HAG", hag), ("CSR", csr), ("edge_index", edge_index):
            is_egc = layer.startswith("EGC")
            if form == "HAG" and not is_egc:
                continue
            if form == "CSR" and layer != "EGC-S":  # PyG's others need edges
                continue
            messages = edge_index.size(1) * inner * 4
            if form == "edge_index" and messages > MAX_MESSAGE_BYTES:
                continue
            used = _pyg(module) if is_egc and form != "HAG" else module
            contender = f"{layer}, {form}"
            calls[contender] = partial(used, x, graph)
            leaves = [x, *used.parameters()]
            steps[contender] = partial(trained, calls[contender], leaves)
            wanted[contender] = f"{layer}, HAG" if is_egc else None
            facts[contender] = {"layer": layer, "form": form, "parameters": parameters}
    for mode, contenders in zip(MODES, (calls, steps), strict=True):
        yield Case(
            {"graph": name, "width": width, "mode": mode},
            contenders,
            BASELINE,
            wanted=wanted,
            tolerance=1e-2,  # a deviation close to 0 is a difference of large numbers
            gradients=mode == "training",
            memory=True,
            rounds=7,
            facts_of=facts,
        )


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


def table(rows: Rows) -> Table:
    """One line for each layer and form of the graph."""
    lines = [HEADER]
    modes = by_contender(rows, "graph", "width", "mode")
    for name, width in dict.fromkeys(key[:2] for key in modes):
        for contender, row in modes[name, width, MODES[0]].items():
            cells = [row[k] for k in ("graph", "width", "layer", "form", "parameters")]
            for mode in MODES:
                row = modes[name, width, mode][contender]
                cells.append(f"{row['milliseconds_50']:.1f}")
                cells.append(f"{row['megabytes']:.0f}" if "megabytes" in row else "-")
            lines.append([str(cell) for cell in cells])
    return lines


BENCHMARK = Benchmark(
    "layers",
    f"EGC-S and EGC-M ({', '.join(SEVERAL)}) beside PyG's GATConv and PNAConv of equal "
    "width: parameters, and milliseconds and megabytes at the peak beyond the input "
    "(Linux), of the forward pass and of forward and backward. Layers whose messages "
    "take more than 4 GiB are left out.",
    of_cases(cases),
    table,
)
