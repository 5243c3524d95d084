import copy
import pickle

import pytest
import torch
from contract import GRAPHS, assert_close, each_graph
from graphs import neighbor_lists
from torch.nn.utils.rnn import pack_sequence
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.aggr import LSTMAggregation

from pyg_hag import build_hag
from pyg_hag.nn import HAGSAGEConv, hag_support, to_hag
from pyg_hag.nn.aggr import HAGLSTMAggregation

ORDERS = ("given", "degree", "shared")


def reference(x, hag, lstm):
    """`torch.nn.LSTM` on every neighbour list alone."""
    out = x.new_zeros(hag.num_dst, lstm.hidden_size)
    rows = neighbor_lists(hag)
    some = [v for v, row in enumerate(rows) if row]
    if some:
        packed = pack_sequence([x[rows[v]] for v in some], enforce_sorted=False)
        out = out.index_copy(0, torch.tensor(some), lstm(packed)[1][0][-1])
    return out


@each_graph
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}])
def test_equals_an_lstm_on_every_list(graph, order, options):
    edge_index, size = graph
    hag = build_hag(edge_index, size=size, order="sequential", neighbor_order=order)
    module = HAGLSTMAggregation(5, 7, **options)
    x = torch.randn(size[0], 5)
    results = []
    for ours in (True, False):
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        out = module(leaf, hag) if ours else reference(leaf, hag, module.lstm)
        torch.manual_seed(0)
        if out.requires_grad:  # not without edges
            out.backward(torch.randn_like(out))
        leaves = [leaf, *module.parameters()]
        grads = [torch.zeros_like(t) if t.grad is None else t.grad for t in leaves]
        results.append([out, *grads])
    for got, wanted in zip(*results, strict=True):
        assert_close(got, wanted)


def test_prefixes_are_run_once(monkeypatch):
    edge_index, size = GRAPHS["clique"]
    hag = build_hag(edge_index, size=size, order="sequential")
    rows = []
    sigmoid = torch.Tensor.sigmoid
    monkeypatch.setattr(
        torch.Tensor, "sigmoid", lambda t: rows.append(t.size(0)) or sigmoid(t)
    )
    HAGLSTMAggregation(3, 3)(torch.randn(size[0], 3), hag)
    levels = max(len(row) for row in neighbor_lists(hag))
    assert sum(rows) == 3 * hag.stats.steps - rows[0]  # the first forgets nothing
    assert hag.stats.steps < edge_index.size(1) and len(rows) == 3 * levels - 1


def test_parameters_are_those_of_pyg():
    ours, theirs = HAGLSTMAggregation(5, 7), LSTMAggregation(5, 7)
    ours.load_state_dict(theirs.state_dict())
    # Where all lists are of one length, results are too:
    edge_index = torch.tensor([[0, 1, 2, 1, 2, 3], [0, 0, 0, 1, 1, 1]])
    x = torch.randn(4, 5)
    hag = build_hag(edge_index, size=(4, 2), order="sequential")
    wanted = theirs(x[edge_index[0]], edge_index[1])
    assert_close(ours(x, hag), wanted)
    assert_close(ours(x[edge_index[0]], edge_index[1]), wanted)


def test_lstm_in_a_layer():
    edge_index, size = GRAPHS["dense"]
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    conv = HAGSAGEConv(8, 6, aggr=HAGLSTMAggregation(8, 8))
    x = torch.randn(size[0], 8)
    hag = build_hag(edge_index, size=size, order="sequential")
    out = conv(x, hag)
    assert_close(out, conv(x, edge_index))
    wanted = conv.lin_l(reference(x, hag, conv.aggr_module.lstm)) + conv.lin_r(x)
    assert_close(out, wanted)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x, hag), out)
    named = HAGSAGEConv(8, 6, aggr="lstm", aggr_kwargs={"num_layers": 2})
    theirs = SAGEConv(8, 6, aggr="lstm", aggr_kwargs={"num_layers": 2})
    named.load_state_dict(theirs.state_dict())
    wanted = theirs.lin_l(reference(x, hag, theirs.aggr_module.lstm)) + theirs.lin_r(x)
    assert_close(named(x, hag), wanted)
    with pytest.raises(ValueError, match=r"build_hag\(order=\"sequential\"\)"):
        conv(x, build_hag(edge_index, size=size))


def test_layers_of_pyg_keep_what_they_compute():
    """Which pads: `to_hag` gives them edges."""
    edge_index, size = GRAPHS["dense"]
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    conv, x = SAGEConv(8, 6, aggr="lstm"), torch.randn(size[0], 8)
    assert "lstm" in hag_support(conv)[0].reason
    hag = build_hag(edge_index, size=size, order="sequential")
    assert torch.equal(to_hag(conv)(x, hag), conv(x, edge_index))


def test_what_cannot_be_shared_is_refused():
    for name in ({"bidirectional": True}, {"dropout": 0.5, "num_layers": 2}):
        with pytest.raises(ValueError, match=next(iter(name))):
            HAGLSTMAggregation(4, 4, **name)
    hag = build_hag(GRAPHS["clique"][0], order="sequential")
    with pytest.raises(ValueError, match="'x' must have shape"):
        HAGLSTMAggregation(4, 4)(torch.randn(3, 4), hag)
    with pytest.raises(ValueError, match="needs a HAG"):
        HAGLSTMAggregation(4, 4)(torch.randn(3, 4), ptr=torch.tensor([0, 3]))
