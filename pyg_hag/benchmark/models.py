"""Time of PyG's own models on a HAG, after `to_hag`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.utils import to_torch_csr_tensor

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load_one
from pyg_hag.benchmark._report import Rows, Table, by_contender, times
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import trained
from pyg_hag.benchmark.case import Case
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

MODES = ("forward", "training")
HEADER = [
    *("graph", "F", "model", "ms", "over edge_index", "over CSR"),
    *("training ms", "over edge_index", "over CSR"),
]


def cases(settings: Settings) -> Iterator[Case]:
    """Models of PyG's layers, as they are and after `to_hag`, on the fastest HAG."""
    labels = _chosen(settings.model)
    for name in graph_names(settings):
        edge_index, num_nodes = load_one(name, settings)
        for width in settings.widths_or(WIDTHS):
            x = torch.randn(num_nodes, width, requires_grad=True)
            graphs = {
                "HAG": build_hag(edge_index, num_nodes, num_features=width),
                "CSR": to_torch_csr_tensor(edge_index.flip(0), size=(num_nodes,) * 2),
            }
            if edge_index.size(1) * width * 4 <= MAX_MESSAGE_BYTES:
                graphs["edge_index"] = edge_index
            stats = graphs["HAG"].stats
            facts = {"edges": stats.num_edges, "read_reduction": stats.read_reduction}
            # On a sparse tensor, PyG adds a loop to nodes that have one, too:
            apart = {"CSR": None} if (edge_index[0] == edge_index[1]).any() else {}
            for label in labels:
                named = {"graph": name, "width": width, "model": label}
                yield from _of_model(named, x, graphs, facts, apart)


def _chosen(names: Sequence[str]) -> list[str]:
    """The models whose labels begin with one of the names; all without names.

    Raises:
        ValueError: If a name is none of them.
    """
    known = {label: label.split(",")[0] for label in MODELS}
    unknown = [name for name in names if name not in known.values()]
    if unknown:
        raise ValueError(
            f"'--model' must be among {[*known.values()]} for 'models' (got {unknown})"
        )
    return [label for label, name in known.items() if not names or name in names]


def _of_model(
    labels: dict[str, Any],
    x: Tensor,
    graphs: dict[str, Any],
    facts: dict[str, Any],
    apart: dict[str, None],
) -> Iterator[Case]:
    label = labels["model"]
    torch.manual_seed(0)
    model = MODELS[label](x.size(1)).eval()
    leaves = [x, *model.parameters()]  # those of the layers on a HAG, too
    calls: dict[str, Callable[[], Any]] = {}
    for form in graphs:
        if form != "CSR" or label not in NOT_ON_CSR:
            module = to_hag(model) if form == "HAG" else model
            calls[form] = partial(module, x, graphs[form])
    steps: dict[str, Callable[[], Any]] = {
        form: partial(trained, call, leaves) for form, call in calls.items()
    }
    baseline = next(form for form in ("edge_index", "CSR", "HAG") if form in calls)
    for mode, contenders in zip(MODES, (calls, steps), strict=True):
        yield Case(
            {**labels, "mode": mode},
            contenders,
            baseline,
            wanted=apart,
            over=("edge_index", "CSR"),
            tolerance=1e-3,
            tolerance_of={"CSR": 0.05},  # after sums of thousands of neighbours
            gradients=mode == "training",
            rounds=7,
            budget=8.0 if mode == "training" else 6.0,
            facts=facts,
        )


def table(rows: Rows) -> Table:
    """One line for each model."""
    lines = [HEADER]
    modes = by_contender(rows, "graph", "width", "model", "mode")
    for name, width, label in dict.fromkeys(key[:3] for key in modes):
        cells = [name, str(width), label]
        for mode in MODES:
            row = modes[name, width, label, mode]["HAG"]
            cells.append(f"{row['milliseconds_50']:.1f}")
            cells += [times(row.get(f"over {form}")) for form in ("edge_index", "CSR")]
        lines.append(cells)
    return lines


BENCHMARK = Benchmark(
    "models",
    "PyG's models after `to_hag`, on the fastest HAG, and how many times faster they "
    "are than before, on `edge_index` and on a sparse matrix (CSR): forward, and "
    "forward and backward. Normalisation is included in the time; `-`: the messages "
    "on `edge_index` take more than 4 GiB, or PyG has no such path.",
    of_cases(cases),
    table,
)
