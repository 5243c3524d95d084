"""Layers that users write: which share sums, and that all compute what they did."""

import pytest
import torch
from contract import ConvContract, assert_close
from graphs import fewest_hag, random_graph
from torch_geometric.nn import MessagePassing, SAGEConv
from torch_geometric.utils import add_self_loops, degree, softmax

from pyg_hag.nn import from_hag, hag_support, to_hag
from pyg_hag.nn.layer_classes import hag_layer_class


class Default(MessagePassing):
    """As the first example of PyG's tutorial, without a `message`."""

    def __init__(self, width=6, **kwargs):
        super().__init__(**kwargs)
        self.lin = torch.nn.Linear(8, width)

    def forward(self, x, edge_index, size=None):
        if isinstance(x, tuple):
            return self.propagate(edge_index, x=tuple(map(self.lin, x)), size=size)
        return self.propagate(edge_index, x=self.lin(x), size=size)


class Named(Default):
    def forward(self, x, adj):
        h = self.lin(x)
        unused = x.sum()  # of the messages, as PyG ignores it
        for _ in range(2):
            h = h + self.propagate(edge_index=adj, h=h, edge_weight=unused)
        return h

    def message(self, h_j):
        """Sends features as they are."""
        return h_j


class TestDefault(ConvContract):
    reference = Default
    conv = hag_layer_class(Default)
    bipartite = True
    variants = (
        {},
        {"aggr": "max"},
        {"aggr": ["mean", "std"]},
        {"flow": "target_to_source"},
    )

    def make(self, cls, options):
        return cls(**options)


class TestNamed(TestDefault):
    reference = Named
    conv = hag_layer_class(Named)
    bipartite = False
    variants = ({}, {"aggr": "mean"}, {"flow": "target_to_source"})


class Looped(Default):
    def forward(self, x, edge_index):
        edge_index, _ = add_self_loops(edge_index)
        return self.propagate(edge_index, x=x)


class Normalized(Default):
    def forward(self, x, edge_index):
        out = self.propagate(edge_index, x=x)
        return out / degree(edge_index[1], x.size(0)).clamp(min=1).view(-1, 1)


class Weighted(Default):
    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_j, index):
        return x_j * softmax(x_j[:, :1], index)


class Doubled(Weighted):
    def message(self, x_j):
        return 2 * x_j


class Differences(Weighted):
    def message(self, x_i, x_j):
        return x_i - x_j


class Updated(Default):
    def update(self, inputs):
        return inputs.relu()


class OwnPropagate(Default):
    def propagate(self, edge_index, size=None, **kwargs):
        return kwargs["x"]


class Elsewhere(Default):
    def forward(self, x, edge_index):
        return self.through(x, edge_index)

    def through(self, x, edge_index):
        return self.propagate(edge_index, x=x)


class Sage(SAGEConv):
    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=(x, x))


OTHERS = [
    *(Looped, Normalized, Weighted, Doubled, Differences, Updated, OwnPropagate),
    *(Elsewhere,),
]


@pytest.mark.parametrize("cls", OTHERS)
def test_layers_that_do_more_get_edges(cls):
    torch.manual_seed(0)
    edge_index, _ = random_graph(0, 20, 20, 0.3)
    x = torch.randn(20, 8)
    conv = cls(8)
    assert "own messages" in str(hag_support(conv))
    assert_close(to_hag(conv)(x, fewest_hag(edge_index, 20)), conv(x, edge_index))


def test_layers_derived_from_those_of_pyg_are_judged_by_them():
    assert "overrides 'forward'" in str(hag_support(Sage(8, 8)))


def test_a_method_of_an_instance_is_seen():
    conv = Default(8)
    conv.message = lambda x_j: 3 * x_j
    assert "overrides 'message'" in str(hag_support(conv))


def test_layers_of_users_are_converted_back():
    model = torch.nn.Sequential(Default(8))
    assert [s.runs for s in hag_support(model)] == ["shared"]
    assert type(from_hag(to_hag(model))[0]) is Default


def test_without_a_source_there_are_edges():
    names = {}
    exec(
        "from torch_geometric.nn import MessagePassing\n"
        "class Unknown(MessagePassing):\n"
        "    def forward(self, x, edge_index):\n"
        "        return self.propagate(edge_index, x=x)\n",
        names,
    )
    assert "own messages" in str(hag_support(names["Unknown"]()))
