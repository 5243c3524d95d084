import torch
from contract import ConvContract, SignedConvContract
from graphs import fewest_hag
from torch_geometric.nn import EGConv
from torch_geometric.utils import add_remaining_self_loops

from pyg_hag.nn import HAGEGConv


class Right(EGConv):
    """PyG's layer with the self-loops of all nodes."""

    def forward(self, x, edge_index):
        if self.add_self_loops:
            edge_index, _ = add_remaining_self_loops(edge_index, num_nodes=x.size(0))
        return super().forward(x, edge_index)


class TestEG(ConvContract):
    reference, conv = Right, HAGEGConv
    variants = (
        {},
        {"add_self_loops": False},
        {"aggregators": ["sum", "mean", "max"]},
        {"aggregators": ["symnorm", "min", "var", "symnorm"], "num_bases": 2},
        {"aggregators": ["max", "mean"], "add_self_loops": False, "bias": False},
        {"flow": "target_to_source"},
    )

    def make(self, cls, options):
        return cls(8, 6, **{"num_heads": 3, **options})


class TestEGSubtracting(SignedConvContract, TestEG):
    variants = ({}, {"aggregators": ["sum", "mean"]}, {"add_self_loops": False})


def test_standard_deviations():
    """Of values that differ, because the root makes rounding errors large."""
    edge_index = torch.combinations(torch.arange(12)).t()
    x = torch.linspace(-3, 3, 96, dtype=torch.double).view(12, 8).flip(1)
    theirs = Right(8, 6, ["std", "var"], num_heads=3).double()
    ours = HAGEGConv(8, 6, ["std", "var"], num_heads=3).double()
    ours.load_state_dict(theirs.state_dict())
    hag = fewest_hag(edge_index, 12)
    torch.testing.assert_close(ours(x, hag), theirs(x, edge_index))


def test_nodes_behind_the_last_edge_have_self_loops():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    conv = HAGEGConv(8, 6, ["sum"], num_heads=3)
    x = torch.randn(4, 8)
    out = conv(x, fewest_hag(edge_index, 4))
    torch.testing.assert_close(conv(x, edge_index), out)
    assert (out[2:] != 0).all()
    wrong = EGConv(8, 6, ["sum"], num_heads=3)
    wrong.load_state_dict(conv.state_dict())
    assert (wrong(x, edge_index)[2:] == 0).all()
