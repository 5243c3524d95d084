"""Mistakes that people make: each error names the argument, the value and a way out."""

import copy
import re

import pytest
import torch
from torch_geometric import nn
from torch_geometric import transforms as T
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import dropout_edge

from pyg_hag import HAG, HAGTransform, aggregate, build_hag, to_hag
from pyg_hag.quantization import calibrate, convert, prepare_qat

NODES = torch.arange(12)
EDGES = torch.cartesian_prod(NODES, NODES).t()
EDGES = EDGES[:, EDGES[0] != EDGES[1]]
X = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
DATA = Data(x=X, edge_index=EDGES)


def hag():
    return build_hag(EDGES, objective="aggregations")


def model():
    return to_hag(nn.GCN(16, 8, 2, 4))


def changed(**attributes):
    data = copy.copy(HAGTransform()(DATA))
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def looking(look):
    """A model that looks into its graph."""

    class Looking(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.GCNConv(16, 4)

        def forward(self, x, edge_index):
            look(edge_index)
            return self.conv(x, edge_index)

    return to_hag(Looking())(X, hag())


def hetero(**edges):
    data = HeteroData()
    for name, value in edges.items():
        data["a", name, "b"].edge_index = value
    return HAGTransform()(data)


def quantized():
    return calibrate(nn.GCN(16, 8, 2, 4), [(X, EDGES)])


ONLY = (
    r"takes the place of 'edge_index' in the layers of 'to_hag\(model\)'.*to_edge_index"
)
MISTAKES = {
    # The graph
    "edges turned": (
        lambda: build_hag(EDGES.t()), r"edge_index.*\[2, num_edges\].*132, 2.*\.t\(\)"
    ),
    "edges turned in data": (
        lambda: HAGTransform()(Data(x=X, edge_index=EDGES.t())),
        r"edge_index.*\[2, num_edges\].*132, 2.*\.t\(\)",
    ),
    "negative nodes": (lambda: build_hag(EDGES - 1), "source -1.*from 0: remove"),
    "few nodes": (lambda: build_hag(EDGES, 5), "source 11.*5 sources.*'num_nodes'"),
    "few nodes in data": (
        lambda: HAGTransform()(Data(edge_index=EDGES, num_nodes=5)),
        "source 11.*5 sources.*'num_nodes'",
    ),
    "floats": (lambda: build_hag(EDGES.float()), "edge_index.*integers.*float32"),
    "booleans": (lambda: build_hag(EDGES.bool()), "edge_index.*integers.*bool"),
    "a list": (lambda: build_hag(EDGES.tolist()), "edge_index.*tensor.*list"),
    "an array": (lambda: build_hag(EDGES.numpy()), "edge_index.*tensor.*ndarray"),
    "nothing": (lambda: build_hag(None), "edge_index.*tensor.*None"),
    "data": (lambda: build_hag(DATA), "edge_index.*tensor.*Data"),
    "two sizes": (lambda: build_hag(EDGES, 12, (12, 12)), "num_nodes.*size.*not both"),
    "half a size": (lambda: build_hag(EDGES, size=(12,)), r"'size'.*num_dst.*\(12,\)"),
    # Options
    "a negative capacity": (
        lambda: build_hag(EDGES, capacity=-1), "capacity.*at least 0.*-1"
    ),
    "an unknown objective": (
        lambda: build_hag(EDGES, objective="speed"), "'time' or 'aggregations'.*speed"
    ),
    "a misspelt option": (lambda: HAGTransform(capcity=3), "capcity.*mean 'capacity'"),
    # The transform
    "the class in a chain": (
        lambda: T.Compose([HAGTransform])(DATA), r"a class.*Data.*'HAGTransform\(\)'"
    ),
    "the class": (lambda: HAGTransform(DATA), r"a class.*Data.*'HAGTransform\(\)'"),
    "a list of data": (lambda: HAGTransform()([DATA]), "'data' must be.*list"),
    "no data": (lambda: HAGTransform()(None), "'data' must be.*None"),
    "edges as data": (lambda: HAGTransform()(EDGES), "'data' must be.*Tensor"),
    "twice without edges": (
        lambda: HAGTransform()(HAGTransform(remove_edge_index=True)(DATA)),
        "'data' has a HAG.*no 'edge_index'.*once, as the last transform",
    ),
    "few weights": (
        lambda: HAGTransform()(
            Data(x=X, edge_index=EDGES, edge_weight=torch.rand(3))
        ),
        r"edge_weight.*132 edges.*\[3\]",
    ),
    "no edges in a type": (lambda: hetero(to=None), "a.*to.*b"),
    "edges that changed": (
        lambda: changed(edge_index=EDGES[:, :9]).hag, "edges have changed.*last"
    ),
    # Aggregation
    "sparse features": (
        lambda: aggregate(X.to_sparse(), hag()), r"'x'.*dense.*sparse_coo.*to_dense\(\)"
    ),
    "features without memory": (
        lambda: aggregate(X.to("meta"), hag()), r"'x' is on meta.*'hag' is on cpu"
    ),
    "features of eight bits": (
        lambda: aggregate(X.to(torch.float8_e4m3fn), hag()), r"'x'.*float8.*x\.float"
    ),
    "few rows": (lambda: aggregate(X[:5], hag()), r"'x'.*num_src=12.*\[5, 16\]"),
    "no features": (lambda: aggregate(None, hag()), "'x' must be.*None"),
    "features of NumPy": (lambda: aggregate(X.numpy(), hag()), "'x' must be.*ndarray"),
    "data to aggregate": (
        lambda: aggregate(X, HAGTransform()(DATA)), "'hag' must.*HAGData.*build_hag"
    ),
    "edges to aggregate": (
        lambda: aggregate(X, EDGES), "'hag' must be a HAG.*Tensor.*build_hag"
    ),
    "arguments swapped": (lambda: aggregate(hag(), X), "'hag' must be.*Tensor"),
    "an unknown reduction": (
        lambda: aggregate(X, hag(), "median"), "'reduce'.*'sum'.*median"
    ),
    "an unknown backend": (
        lambda: aggregate(X, hag(), backend="cuda"), "'backend'.*'triton'.*cuda"
    ),
    # Models
    "few rows in a model": (lambda: model()(X[:5], hag()), "5 sources.*12.*num_nodes"),
    "features without memory in a model": (
        lambda: model()(X.to("meta"), hag()), r"is on meta.*'hag' is on cpu"
    ),
    "data to a model": (
        lambda: model()(X, HAGTransform()(DATA)), "'edge_index'.*HAGData.*'data.hag'"
    ),
    "weights of other edges": (
        lambda: to_hag(nn.GCNConv(16, 4))(X, hag(), torch.rand(3)),
        r"edge_weight.*132 edges.*\[3\]",
    ),
    "a class for a model": (lambda: to_hag(nn.GCNConv), "'model'.*Module.*type"),
    "no layer": (lambda: to_hag(torch.nn.Linear(3, 3)), "'model'.*no layer.*Linear"),
    "data for a model": (lambda: to_hag(DATA), "'model'.*Module.*Data"),
    "unpacking": (lambda: looking(lambda e: [*e]), ONLY),
    "an index": (lambda: looking(lambda e: e[0]), ONLY),
    "a shape": (lambda: looking(lambda e: e.shape), f"'shape'.*{ONLY}"),
    "a size": (lambda: looking(lambda e: e.size(1)), f"'size'.*{ONLY}"),
    "a conversion": (lambda: looking(lambda e: e.long()), f"'long'.*{ONLY}"),
    "dropped edges": (lambda: looking(dropout_edge), ONLY),
    # Quantization
    "a model that is not quantized": (
        lambda: convert(nn.GCN(16, 8, 2), (X, EDGES)), "'prepare_qat'.*GCN"
    ),
    "an example that is no tuple": (
        lambda: convert(quantized(), X), r"'example'.*\(data\.x, data\.hag\).*Tensor"
    ),
    "nothing observed": (
        lambda: convert(prepare_qat(nn.GCN(16, 8, 2)), (X, EDGES)),
        "'model' has not observed.*'calibrate'",
    ),
    "features of another width": (
        lambda: convert(quantized(), (X, EDGES))(X[:, :5], EDGES),
        "'x' must have 16 features.*5",
    ),
    "the state of the float model": (
        lambda: quantized().load_state_dict(nn.GCN(16, 8, 2, 4).state_dict()),
        "'state_dict'.*not quantized.*'prepare_qat'",
    ),
    "probabilities of another graph": (
        lambda: prepare_qat(nn.GCN(16, 8, 2))(X, EDGES, protect_prob=torch.rand(3)),
        "'protect_prob' has 3 nodes.*12.*'protect=False'",
    ),
    "tensors to calibrate": (
        lambda: calibrate(nn.GCN(16, 8, 2), [X]), "'loader'.*tuples.*Tensor"
    ),
    "an empty loader": (
        lambda: calibrate(nn.GCN(16, 8, 2), []), "'loader' is empty.*one batch"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_errors_name_the_argument_and_a_way_out(name):
    make, pattern = MISTAKES[name]
    with pytest.raises((TypeError, ValueError, AttributeError)) as error:
        make()
    assert re.search(pattern, str(error.value), re.DOTALL), str(error.value)


@pytest.mark.parametrize("content", [b"", b"text", "tensor"])
def test_other_files_are_no_hags(content, tmp_path):
    path = tmp_path / "a.hag"
    if content == "tensor":
        torch.save(X, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.hag' is not a valid HAG file"):
        HAG.load(path)
