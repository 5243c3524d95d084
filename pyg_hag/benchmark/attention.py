"""Layers that weigh messages by attention: PyG's, and ours on a HAG."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, HANConv, TransformerConv
from torch_geometric.utils import to_torch_csr_tensor as to_csr

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import graph_names, load_one
from pyg_hag.benchmark._report import Rows, Table, by_contender, times
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import trained
from pyg_hag.benchmark.case import Case
from pyg_hag.nn import to_hag
from pyg_hag.ops.attention.choice import forced
from pyg_hag.search import build_hag

GRAPHS = (
    *("Cora", "Computers", "ego-Facebook", "IMDB-BINARY", "cornell5", "cnr-2000"),
    *("HeCo_DBLP_APCPA", "COLLAB"),
)
WIDTHS = [16, 64, 256]
MAIN_WIDTH = 64
"""At the others, GAT alone is measured; at this one, one layer is compiled as well,
which takes longer than most measurements."""
MODES = ("forward", "training")
FUSED, SHARED, CHOSEN = "fused", "shared", "HAG"
"""Our contenders: each edge, sweeps wherever they are exact, and what is chosen."""
COMPILED, COMPILED_LAYER = "compiled edge_index", "GAT, 8 heads"
BASELINE = "edge_index"
METADATA = (["node"], [("node", "to", "node")])


def layers(width: int) -> dict[str, nn.Module]:
    """The layers, of as many features in as out."""
    eight = {"out_channels": width // 8, "heads": 8}
    return {
        "GAT, 8 heads": GATConv(width, **eight),
        "GAT, 1 head": GATConv(width, width),
        "GATv2, 8 heads": GATv2Conv(width, **eight),
        "Transformer, 8 heads": TransformerConv(width, **eight),
        "HAN, 8 heads": HANConv(width, width, METADATA, heads=8),
        "HAN, 1 head": HANConv(width, width, METADATA),
    }


def cases(settings: Settings) -> Iterator[Case]:
    """Each layer on `edge_index`, on a sparse matrix, and over a HAG."""
    for name in graph_names(settings, GRAPHS):
        edge_index, num_nodes = load_one(name, settings)
        for width in settings.widths_or(WIDTHS):
            for layer, module in layers(width).items():
                if width != MAIN_WIDTH and not layer.startswith("GAT,"):
                    continue
                labels = {"graph": name, "width": width, "layer": layer}
                yield from _of_layer(labels, module, edge_index, num_nodes)


def _of_layer(
    labels: dict[str, Any], module: nn.Module, edge_index: Tensor, num_nodes: int
) -> Iterator[Case]:
    torch.manual_seed(0)
    width = labels["width"]
    x = torch.randn(num_nodes, width, requires_grad=True)
    hag = build_hag(edge_index, num_nodes, num_features=width)
    fast = to_hag(module)
    run = partial(_run, fast, x, hag)
    ways: dict[str, Callable[[], Tensor]] = {CHOSEN: run}
    if labels["layer"].startswith(("GAT,", "HAN")) and hag.num_aggregates:
        ways |= {
            FUSED: partial(_forced, run, False),
            SHARED: partial(_forced, run, True),
        }
    if edge_index.size(1) * width * 4 <= MAX_MESSAGE_BYTES:
        ways[BASELINE] = partial(_run, module, x, edge_index)
        if not labels["layer"].startswith("Transformer"):  # PyG's has no kernel for it
            csr = to_csr(edge_index.flip(0), size=(num_nodes, num_nodes))
            ways["CSR"] = partial(_run, module, x, csr)
        if width == MAIN_WIDTH and labels["layer"] == COMPILED_LAYER:
            ways[COMPILED] = partial(_run, torch.compile(module), x, edge_index)
    leaves = [x, *module.parameters()]
    for mode in MODES:
        chosen: dict[str, Callable[[], Any]] = {**ways}
        if mode == "training":
            chosen = {n: _trained(n, way, leaves) for n, way in ways.items()}
        yield Case(
            {**labels, "mode": mode},
            chosen,
            BASELINE if BASELINE in ways else CHOSEN,
            over=[n for n in ways if n != CHOSEN],
            tolerance=1e-3,
            gradients=mode == "training",
            memory=True,
            rounds=9,
            budget=10.0,
            facts={"edges": edge_index.size(1)},
        )


def _forced(run: Callable[[], Any], shares: bool) -> Any:
    with forced(shares):
        return run()


def _trained(name: str, way: Any, leaves: list[Tensor]) -> Callable[[], Any]:
    """The forward and backward pass, both within what forces the way."""
    if name not in (FUSED, SHARED):
        return partial(trained, way, leaves)
    run, shares = way.args
    return partial(_forced, partial(trained, run, leaves), shares)


def _run(module: Any, x: Tensor, graph: Any) -> Tensor:
    if isinstance(getattr(module, "_orig_mod", module), HANConv):
        (edge_type,) = METADATA[1]
        out: Tensor = module({"node": x}, {edge_type: graph})["node"]
        return out
    out = module(x, graph)
    return out


def table(rows: Rows) -> Table:
    """One line for each graph, width and layer."""
    known = BASELINE, "CSR", COMPILED, FUSED, SHARED
    others = [n for n in known if any(f"over {n}" in row for row in rows)]
    heads = [f"{mode} {what}" for mode in MODES for what in ("ms", *others, "MB")]
    lines = [["graph", "F", "layer", *heads]]
    modes = by_contender(rows, "graph", "width", "layer", "mode")
    for key in dict.fromkeys(key[:3] for key in modes):
        cells = [str(part) for part in key]
        for mode in MODES:
            at = (*key, mode)
            row = modes[at][CHOSEN]
            cells.append(f"{row['milliseconds_50']:.2f}")
            cells += [times(row.get(f"over {other}")) for other in others]
            cells.append(f"{row['megabytes']:.0f}")
        lines.append(cells)
    return lines


BENCHMARK = Benchmark(
    "attention",
    "Layers with attention after `to_hag`, over a HAG, beside PyG's on `edge_index`, "
    "on a sparse matrix, and on `edge_index` after `torch.compile`: "
    "milliseconds of the forward pass and of forward and backward, times faster than "
    "each, and megabytes at the peak beyond the input (Linux).",
    of_cases(cases),
    table,
)
