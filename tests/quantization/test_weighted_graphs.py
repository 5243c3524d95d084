"""Quantized layers on graphs with weights that come from a matrix."""

import pytest
import torch
from graphs import near_cliques
from torch_geometric import nn
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_hag import build_hag
from pyg_hag.ops.quantized import QParams, aggregate_quantized
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert

EDGES, (NODES, _) = near_cliques(0, 2, 6)
INDEX, WEIGHT = gcn_norm(EDGES, num_nodes=NODES)
CONFIG = DegreeQuantConfig(ranges="minmax", protect=False)
LAYERS = {
    "GCN": lambda: nn.GCNConv(8, 8),
    "GCN as it is": lambda: nn.GCNConv(8, 8, normalize=False),
    "SGC": lambda: nn.SGConv(8, 8, 2),
    "SAGE": lambda: nn.SAGEConv(8, 8),
    "SAGE max": lambda: nn.SAGEConv(8, 8, "max"),
    "GraphConv": lambda: nn.GraphConv(8, 8),
    "GIN": lambda: nn.GINConv(torch.nn.Linear(8, 8)),
    "GAT": lambda: nn.GATConv(8, 8),
    "EG": lambda: nn.EGConv(8, 8, ["symnorm", "max"], 2, 2),
}


def matrix_of(form):
    if form == "csr":
        size = NODES, NODES
        return torch.sparse_coo_tensor(INDEX.flip(0), WEIGHT, size).to_sparse_csr()
    from torch_sparse import SparseTensor

    return SparseTensor(row=INDEX[1], col=INDEX[0], value=WEIGHT)


@pytest.mark.filterwarnings("ignore:.*sparse.*")
@pytest.mark.parametrize("form", ["csr", *["SparseTensor"] * WITH_TORCH_SPARSE])
@pytest.mark.parametrize("options", [{"objective": "aggregations"}, {"capacity": 0}])
@pytest.mark.parametrize("layer", LAYERS)
def test_weights_count_as_in_pyg(layer, options, form):
    matrix = matrix_of(form)
    hag, x = build_hag(matrix, **options), torch.randn(NODES, 8)
    torch.manual_seed(0)
    conv = LAYERS[layer]().eval()
    if layer == "EG":
        with pytest.raises(ValueError, match="does not take a HAG with weights"):
            calibrate(conv, [(x, hag)], CONFIG)
        return
    quantized = calibrate(conv, [(x, hag)], CONFIG)
    fast = convert(quantized, (x, hag))
    with torch.no_grad():
        expected = conv(x, matrix)
        for module in (quantized, fast):
            for graph in (hag, matrix) if layer != "GAT" else (hag,):
                error = (module(x, graph) - expected).abs().max()
                assert error <= 0.06 * expected.abs().max()


def test_sums_of_integers_have_no_weights():
    hag = build_hag(matrix_of("csr"))
    rows = torch.zeros(NODES, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"weights of its edges.*'hag.unweighted'"):
        aggregate_quantized(rows, QParams(1.0, 0), hag)
