"""Every layer of PyG that shares sums, against itself on the edges."""

import pytest
import torch
from contract import Converted, SignedConvContract, assert_close
from graphs import fewest_hag, random_graph
from torch_geometric import nn

from pyg_hag.nn import hag_support, to_hag

TURNED = {"flow": "target_to_source"}


class TestGraph(Converted):
    reference = nn.GraphConv
    bipartite = True
    variants = ({}, {"aggr": "mean"}, {"aggr": ["max", "std"]}, {"bias": False}, TURNED)

    def make(self, cls, options):
        if isinstance(options.get("aggr"), list):
            options = {**options, "aggr_kwargs": {"mode": "max"}}
        return super().make(cls, options)


class TestSAGEOfSeveral(Converted):
    reference = nn.SAGEConv
    bipartite = True
    variants = (
        {"aggr": ["mean", "max", "std"]},
        {"aggr": ["sum", "var", "min"], "project": True},
        {"aggr": "var"},
        {"aggr": "min", "flow": "target_to_source"},
    )


class TestTAG(Converted):
    reference = nn.TAGConv
    variants = ({"K": 2}, {"K": 2, "normalize": False}, {"K": 1, **TURNED})


class TestSG(Converted):
    reference = nn.SGConv
    variants = ({"K": 2}, {"K": 2, "add_self_loops": False}, TURNED)


class TestSSG(Converted):
    reference = nn.SSGConv
    variants = ({"alpha": 0.2, "K": 2}, {"alpha": 0.2, "K": 1, **TURNED})


class TestAPPNP(Converted):
    reference = nn.APPNP
    arguments = (3, 0.1)
    variants = ({}, {"add_self_loops": False}, {"normalize": False}, TURNED)


class TestLG(Converted):
    reference = nn.LGConv
    arguments = ()
    variants = ({}, {"normalize": False}, TURNED)


class TestGCN2(Converted):
    reference = nn.GCN2Conv
    arguments = (8, 0.3)
    variants = ({}, {"theta": 0.5, "layer": 2, "shared_weights": False}, TURNED)

    def call(self, layer, x, graph):
        return layer(x, x.flip(0), graph)


class TestARMA(Converted):
    reference = nn.ARMAConv
    variants = (
        {},
        {"num_stacks": 2, "num_layers": 2, "shared_weights": True},
        TURNED,
    )


class TestMixHop(Converted):
    reference = nn.MixHopConv
    variants = ({}, {"powers": [0, 2], "add_self_loops": False}, TURNED)


class TestGatedGraph(Converted):
    reference = nn.GatedGraphConv
    arguments = (9, 2)
    variants = ({}, {"aggr": "max"}, TURNED)


class TestSimple(Converted):
    reference = nn.SimpleConv
    bipartite = True
    arguments = ()
    variants = (
        {},
        {"aggr": "mean", "combine_root": "sum"},
        {"aggr": ["max", "mean"], "combine_root": "cat"},
        TURNED,
    )


class TestSimpleWithLoops(Converted):
    reference = nn.SimpleConv
    arguments = ()
    variants = ({"aggr": "sum", "combine_root": "self_loop"},)

    def test_more_dimensions(self, options):
        pass  # PyG adds self-loops to as many nodes as there are matrices


class TestCheb(Converted):
    reference = nn.ChebConv
    variants = (
        {"K": 3},
        {"K": 2, "normalization": "rw"},
        {"K": 3, "normalization": "rw", **TURNED},
    )


class TestClusterGCN(Converted):
    reference = nn.ClusterGCNConv
    variants = ({}, {"diag_lambda": 0.7, "bias": False}, TURNED)


class TestMF(Converted):
    reference = nn.MFConv
    bipartite = True
    compiles = False  # nor does PyG's: it looks for the nodes of each degree
    variants = ({}, {"max_degree": 2, "bias": False}, TURNED)


class TestLE(Converted):
    reference = nn.LEConv
    bipartite = True
    variants = ({}, {"bias": False}, TURNED)


class TestGeneral(Converted):
    reference = nn.GeneralConv
    bipartite = True
    variants = (
        {},
        {"aggr": "mean", "heads": 3, "skip_linear": True, "l2_normalize": True},
        {"aggr": "max", "bias": False},
        TURNED,
    )


class TestGEN(Converted):
    reference = nn.GENConv
    bipartite = True
    variants = (
        {"aggr": "add"},
        {"aggr": ["mean", "max", "std"], "msg_norm": True},
        {"aggr": "mean", "bias": True, "eps": 0.5},
    )

    def make(self, cls, options):
        return cls(8, 6, norm="layer", **options)


class TestHypergraph(Converted):
    reference = nn.HypergraphConv
    variants = ({}, {"bias": False})

    def call(self, layer, x, graph):
        weight = torch.linspace(0.5, 1, x.size(0))
        return layer(x, graph, weight, num_edges=x.size(0))


class TestWLContinuous(Converted):
    reference = nn.WLConvContinuous
    bipartite = True
    arguments = ()


class TestSigned(Converted):
    reference = nn.SignedConv
    variants = ({"first_aggr": True}, {"first_aggr": False})

    def make(self, cls, options):
        return cls(8 if options["first_aggr"] else 4, 3, **options)

    def call(self, layer, x, graph):
        return layer(
            x, graph, graph.t() if not torch.is_tensor(graph) else graph.flip(0)
        )


class TestGCNSubtracting(SignedConvContract, TestTAG):
    pass


class TestChebSubtracting(SignedConvContract, TestCheb):
    pass


class TestClusterGCNSubtracting(SignedConvContract, TestClusterGCN):
    pass


@pytest.mark.parametrize("layer", ["GENConv", "GeneralConv"])
def test_edge_features_reach_layers_that_share_without_them(layer):
    edge_index, (n, _) = random_graph(0, 12, 12, 0.4)
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 8)
    edge_attr = torch.randn(edge_index.size(1), 8)
    conv = getattr(nn, layer)(8, 8, aggr="add")
    if layer == "GeneralConv":
        assert hag_support(conv)[0].supported
        conv = nn.GeneralConv(8, 8, in_edge_channels=8)
        assert hag_support(conv)[0].reason == "edge features"
    assert_close(to_hag(conv)(x, hag, edge_attr), conv(x, edge_index, edge_attr))


@pytest.mark.parametrize(
    ("conv", "reason"),
    [
        (nn.GENConv(8, 8), "'aggr' must be one of"),
        (nn.GeneralConv(8, 8, attention=True), "attention"),
        (nn.GeneralConv(8, 8, directed_msg=False), "both nodes"),
    ],
    ids=["softmax", "attention", "both"],
)
def test_variants_that_do_not_share(conv, reason):
    edge_index, (n, _) = random_graph(0, 12, 12, 0.4)
    assert reason in hag_support(conv)[0].reason
    x = torch.randn(n, 8)
    assert_close(to_hag(conv)(x, fewest_hag(edge_index, n)), conv(x, edge_index))
