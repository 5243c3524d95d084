import pytest
import torch
from pyg_suite.graphs import OPTIONS, bind, with_hags
from pyg_suite.plugin import Suite
from pyg_suite.refusals import refusal
from pyg_suite.repeat import Call
from torch_geometric.nn import GATConv, GCNConv, HeteroConv, HypergraphConv, SAGEConv
from torch_geometric.utils import to_torch_csr_tensor

from pyg_hag import HAG
from pyg_hag.nn.mixins import aggregation

EDGES = torch.tensor([[0, 1, 2, 0, 1, 3, 3], [2, 2, 2, 3, 3, 0, 1]])


def outcomes(module, *args, **kwargs):
    return [run.outcome for run in Call(module, args, kwargs).repeat()]


@pytest.mark.parametrize(
    "module", [GCNConv(5, 3), SAGEConv(5, 3, ["mean", "max"]), GATConv(5, 3)], ids=str
)
@pytest.mark.parametrize("graph", ["edges", "matrix"])
def test_equal_layers(module, graph):
    x = torch.randn(4, 5, requires_grad=True)
    matrix = to_torch_csr_tensor(EDGES.flip(0), size=(4, 4))
    edge_index = EDGES if graph == "edges" else matrix
    assert outcomes(module, x, edge_index) == ["equal"] * 3
    assert x.grad is None


@pytest.mark.parametrize("where", ["output", "gradient"])
def test_what_differs_is_found(where, monkeypatch):
    original = aggregation.aggregate

    def wrong(x, *args, **kwargs):
        out = original(x, *args, **kwargs)
        other = out.detach() * 2
        return other + (out - out.detach() if where == "output" else 0 * out.detach())

    monkeypatch.setattr(aggregation, "aggregate", wrong)
    if where == "gradient":
        monkeypatch.setattr(
            aggregation,
            "aggregate",
            lambda *a, **k: 2 * original(*a, **k) - original(*a, **k).detach(),
        )
    x = torch.randn(4, 5, requires_grad=True)  # else no gradient goes through the sum
    runs = Call(GCNConv(5, 3), (x, EDGES), {}).repeat()
    assert {run.outcome for run in runs} == {"differs"}
    assert all(run.reason.startswith(where) for run in runs)


def test_errors_are_told_from_refusals(monkeypatch):
    conv = SAGEConv(5, 3)
    x = torch.randn(4, 5)
    conv.explain = True
    conv._edge_mask = torch.ones(7)
    conv._apply_sigmoid = False
    assert outcomes(conv, x, EDGES) == ["refused"] * 3

    def fail(*args, **kwargs):
        raise ValueError("something else")

    monkeypatch.setattr(aggregation, "aggregate", fail)
    assert outcomes(SAGEConv(5, 3), x, EDGES) == ["error"] * 3
    assert refusal(ValueError("something else")) is None


def test_a_test_sees_nothing():
    suite = Suite()
    suite.test = "here"
    module = torch.nn.Sequential(torch.nn.Dropout(0.5))
    conv = GATConv(5, 3, dropout=0.5)
    x = torch.randn(4, 5)
    calls = []
    conv.register_forward_hook(lambda *_: calls.append(1))
    torch.manual_seed(1)
    expected = conv(x, EDGES), module(x)
    torch.manual_seed(1)
    got = suite.call(conv, (x, EDGES), {}), module(x)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert len(calls) == 2
    assert suite.totals() == {"equal": 3}
    assert suite.tests == {"here"}


def test_sizes():
    def size(module, *args, **kwargs):
        bound = bind(module, args, kwargs)
        args, kwargs = with_hags(module, bound, OPTIONS["plain"])
        hag = next(v for v in [*args, *kwargs.values()] if isinstance(v, HAG))
        return hag.num_src, hag.num_dst

    x, y = torch.randn(6, 5), torch.randn(7, 5)
    assert size(SAGEConv(5, 3), x, EDGES) == (6, 6)
    assert size(SAGEConv(5, 3), (x, y), EDGES) == (6, 7)
    assert size(SAGEConv(5, 3), (x, None), EDGES) == (6, 6)
    assert size(SAGEConv(5, 3), (x, None), EDGES, size=(6, 4)) == (6, 4)
    assert size(HypergraphConv(5, 3), x, EDGES) == (6, 4)
    assert size(HypergraphConv(5, 3), x, EDGES, num_edges=9) == (6, 9)
    static = torch.randn(3, 8, 5)
    assert size(GCNConv(5, 3, node_dim=-2), static, EDGES) == (8, 8)


def test_heterogeneous_graphs():
    kinds = ("a", "to", "b"), ("b", "to", "a")
    model = HeteroConv({kind: SAGEConv(5, 3) for kind in kinds})
    nodes = {"a": torch.randn(4, 5), "b": torch.randn(6, 5)}
    assert outcomes(model, nodes, dict.fromkeys(kinds, EDGES)) == ["equal"] * 3
