"""Data that is on the CPU stays there, whichever device PyTorch takes by default."""

import copy

import pytest
import torch
from contract import GRAPHS
from graphs import FewestTransform, fewest_hag, signed_hag
from torch_geometric import nn as pyg
from torch_geometric.data import Data, HeteroData

from pyg_hag import aggregate, build_hag, to_hag, warmup
from pyg_hag.datasets import generate_ego_networks
from pyg_hag.ops import qparams
from pyg_hag.ops.cpu import qlinear, quantized
from pyg_hag.quantization import DegreeQuantTransform, calibrate, convert, prepare_qat

EDGES, (NODES, _) = GRAPHS["near-cliques"]
X = torch.randn(NODES, 12, generator=torch.Generator().manual_seed(0))
REDUCES = ["sum", "mean", "max", "std", "symnorm", ["sum", "max", "std", "symnorm"]]


def forgotten():
    """What is made once per process is made anew."""
    for cached in (qparams._inverse, quantized.cached_parameters, qlinear._zeros):
        cached.cache_clear()
    qlinear.products_are_exact.cache_clear()


def transformed(**options):
    return FewestTransform(**options)(Data(X, EDGES))


def aggregated(hag):
    outs = []
    for reduce in REDUCES:
        x = X.clone().requires_grad_()
        out = aggregate(x, hag, reduce)
        out.backward(out.detach())
        outs += [out.detach(), x.grad]
    return outs


def trained(model):
    data = DegreeQuantTransform(0.0, 0.2)(transformed())
    out = model(data.x, data.hag, protect_prob=data.protect_prob)
    out.sum().backward()
    return [out.detach(), *(p.grad for p in model.parameters())]


def protected():
    data = HeteroData(a={"x": X}, b={"x": X})
    data["a", "to", "b"].edge_index = EDGES
    data = DegreeQuantTransform()(data)
    return [data["a"].protect_prob, data["b"].protect_prob]


MODELS = {
    model.__name__: model(12, 20, 2, 5, norm="batch_norm")
    for model in (pyg.GCN, pyg.GraphSAGE, pyg.GIN)
}
TASKS = {
    "search": lambda: fewest_hag(EDGES, NODES).tensors,
    "signed": lambda: signed_hag(EDGES, NODES).tensors,
    "sequential": lambda: build_hag(EDGES, NODES, order="sequential").tensors,
    "transform": lambda: transformed().hag.tensors,
    "transform alone": lambda: transformed(remove_edge_index=True).hag.tensors,
    "aggregate": lambda: aggregated(fewest_hag(EDGES, NODES)),
    "signed aggregate": lambda: [aggregate(X, signed_hag(EDGES, NODES))],
    "protection": protected,
    "generated": lambda: [generate_ego_networks(3, seed=1)[0].edge_index],
}


@pytest.fixture
def elsewhere():
    """A default device on which there is nothing to read."""
    return torch.device("meta")


def assert_same(task, elsewhere):
    torch.manual_seed(0)
    wanted = task()
    forgotten()
    torch.manual_seed(0)
    with elsewhere:
        got = task()
    forgotten()
    for a, b in zip(wanted, got, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_graphs_and_sums(task, elsewhere):
    assert_same(task, elsewhere)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models(model, elsewhere):
    model, hag = to_hag(copy.deepcopy(model)).eval(), fewest_hag(EDGES, NODES)
    assert_same(lambda: [model(X, hag).detach()], elsewhere)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_quantized_models(model, elsewhere):
    model, hag = copy.deepcopy(model), fewest_hag(EDGES, NODES)
    quantized = prepare_qat(copy.deepcopy(model))
    state = copy.deepcopy(quantized.state_dict())

    def task():
        quantized.load_state_dict(state)
        quantized.zero_grad()
        return trained(quantized.train())

    assert_same(task, elsewhere)
    fast = convert(calibrate(model.eval(), [(X, hag)]), (X, hag))
    assert_same(lambda: [fast(X, fewest_hag(EDGES, NODES))], elsewhere)


def test_warm_up(elsewhere):
    with elsewhere:
        assert warmup() > 0
