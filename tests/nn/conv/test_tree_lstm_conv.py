import copy
import pickle

import pytest
import torch
from contract import ALL_SQUARE, assert_close
from graphs import neighbor_lists
from torch_geometric.nn import GCNConv

from pyg_hag import build_hag
from pyg_hag.nn import HAGTreeLSTMConv, to_hag
from pyg_hag.plan import sequential


def cell(conv, own, children):
    """The equations of Tai et al. (2015), Section 3.2, for one node."""
    d = conv.out_channels
    i, o, u, f = own.split(d)
    gates = [i, o, u, *[f] * len(children)]
    for place, (h, _) in enumerate(children):
        parts = (h @ conv.weight[place]).split(d)
        for k in range(3):
            gates[k] = gates[k] + parts[k]
        for k in range(len(children)):
            if conv.off_diagonal:
                gates[3 + k] = gates[3 + k] + parts[3 + k]
            elif k == place:
                gates[3 + k] = gates[3 + k] + parts[3]
    c = gates[0].sigmoid() * gates[2].tanh()
    for k, (_, state) in enumerate(children):
        c = c + gates[3 + k].sigmoid() * state
    return gates[1].sigmoid() * c.tanh(), c


def reference(conv, x, hag, h, c):
    own, rows = conv.lin(x), neighbor_lists(hag)
    for _ in range(conv.num_rounds):
        states = [
            cell(conv, own[v], [(h[j], c[j]) for j in row])
            for v, row in enumerate(rows)
        ]
        h, c = (torch.stack(part) for part in zip(*states, strict=True))
    return h, c


@pytest.mark.parametrize("graph", ALL_SQUARE.values(), ids=ALL_SQUARE)
@pytest.mark.parametrize("order", ["given", "shared"])
@pytest.mark.parametrize("off_diagonal", [True, False])
@pytest.mark.each_value
def test_equals_the_equations(graph, order, off_diagonal):
    edge_index, (num_src, _) = graph
    size = (num_src, num_src)
    hag = build_hag(edge_index, size=size, order="sequential", neighbor_order=order)
    most = max([1, *map(len, neighbor_lists(hag))])
    conv = HAGTreeLSTMConv(5, 4, most, 2, off_diagonal)
    x, h, c = torch.randn(num_src, 5), torch.randn(num_src, 4), torch.randn(num_src, 4)
    results = []
    for ours in (True, False):
        if num_src == 0 and not ours:
            assert results[0][0].shape == (0, 4)
            return
        leaves = [t.clone().requires_grad_() for t in (x, h, c)]
        first, *state = leaves
        conv.zero_grad()
        out = conv(first, hag, *state) if ours else reference(conv, first, hag, *state)
        torch.manual_seed(0)
        sum((t * torch.randn_like(t)).sum() for t in out).backward()
        grads = [t.grad for t in (*leaves, *conv.parameters())]
        results.append([*out, *grads])
    for got, wanted in zip(*results, strict=True):
        if wanted is None:  # no edge, no weight
            assert got is None or not got.any()
        else:
            assert_close(got, wanted)


def test_nodes_without_neighbours_are_in_no_level(monkeypatch):
    """Run in Python, which checks every index."""
    monkeypatch.setattr(sequential, "_trace_back", sequential._trace_back.py_func)
    edge_index = torch.tensor([[0, 1, 0], [2, 2, 3]])
    hag = build_hag(edge_index, num_nodes=5, order="sequential")
    steps = sequential.neighbor_steps(hag)
    assert steps.sizes == [2, 1] and steps.dst.tolist() == [2, 3, 2]


def test_as_many_rounds_as_levels_evaluate_a_tree():
    #        6
    #      /   \
    #     4     5
    #   / | \   |
    #  0  1  2  3
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 5], [4, 4, 4, 5, 6, 6]])
    conv, x = HAGTreeLSTMConv(3, 4, 3, num_rounds=3), torch.randn(7, 3)
    own = conv.lin(x)
    leaves = [cell(conv, own[v], []) for v in range(4)]
    inner = [cell(conv, own[4], leaves[:3]), cell(conv, own[5], leaves[3:])]
    wanted = cell(conv, own[6], inner)
    hag = build_hag(edge_index, num_nodes=7, order="sequential")
    for graph in (hag, edge_index):
        for got, expected in zip(conv(x, graph), wanted, strict=True):
            assert_close(got[6], expected)
    again = pickle.loads(pickle.dumps(copy.deepcopy(conv)))
    assert torch.equal(again(x, hag)[0], conv(x, hag)[0])


def test_in_a_model():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.tree = GCNConv(3, 3), HAGTreeLSTMConv(3, 4, 2)

        def forward(self, x, edge_index):
            return self.tree(self.conv(x, edge_index), edge_index)[0]

    edge_index, x = torch.tensor([[0, 1, 0, 1], [2, 2, 3, 3]]), torch.randn(4, 3)
    model = Model()
    hag = build_hag(edge_index, num_nodes=4, order="sequential")
    assert_close(to_hag(model)(x, hag), model(x, edge_index))


def test_errors():
    edge_index, x = torch.tensor([[0, 1], [2, 2]]), torch.randn(3, 3)
    hag = build_hag(edge_index, num_nodes=3, order="sequential")
    with pytest.raises(ValueError, match="2 neighbours, but 'num_children' is 1"):
        HAGTreeLSTMConv(3, 4, 1)(x, hag)
    with pytest.raises(ValueError, match="'num_rounds' must be at least 1"):
        HAGTreeLSTMConv(3, 4, 1, 0)
    conv = HAGTreeLSTMConv(3, 4, 2)
    assert repr(conv) == "HAGTreeLSTMConv(3, 4, num_children=2)"
    with pytest.raises(ValueError, match="'x' has 4 nodes"):
        conv(torch.randn(4, 3), hag)
    with pytest.raises(ValueError, match=r"'c' must have shape \[3, 4\]"):
        conv(x, hag, c=torch.randn(3, 3))
    with pytest.raises(ValueError, match="is a set HAG"):
        conv(x, build_hag(edge_index, num_nodes=3))
