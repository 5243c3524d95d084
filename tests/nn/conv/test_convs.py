import pytest
import torch
from contract import ConvContract, SignedConvContract
from graphs import clique, edge_index_of, fewest_hag, random_graph, signed_hag
from torch_geometric.nn import GCNConv, GINConv, SAGEConv

from pyg_hag import aggregate
from pyg_hag.nn import HAGGCNConv, HAGGINConv, HAGSAGEConv


class TestGCN(ConvContract):
    reference, conv = GCNConv, HAGGCNConv
    variants = (
        {},
        {"improved": True},
        {"cached": True},
        {"add_self_loops": False},
        {"normalize": False},
        {"bias": False},
        {"flow": "target_to_source"},
    )

    @pytest.mark.unless(lambda options: options.get("normalize") is False)
    def test_normalisation_is_computed_once_per_hag(self, options, monkeypatch):
        edge_index, (n, _) = random_graph(0, 20, 20, 0.3)
        hag, x = fewest_hag(edge_index, n), torch.randn(20, 8)
        _, ours = self.pair(options)
        ours(x, hag)
        monkeypatch.setattr("pyg_hag.nn.mixins.normalization._gcn_scales", None)
        assert ours(x, hag).shape == (20, 6)

    def test_what_a_hag_cannot_do_is_refused(self, options):
        edge_index, (n, _) = random_graph(0, 20, 20, 0.3)
        hag, x = fewest_hag(edge_index, n), torch.randn(20, 8)
        _, ours = self.pair(options)
        with pytest.raises(ValueError, match="tuple"):
            ours((x, x), hag)
        mean = self.make(HAGGCNConv, {**options, "aggr": "mean"})
        if options.get("normalize", True):
            with pytest.raises(ValueError, match="'aggr'"):
                mean(x, hag)
            bipartite = fewest_hag(edge_index, size=(20, 21))
            with pytest.raises(ValueError, match=r"as many sources|the HAG has 21"):
                ours(x, bipartite)


class TestSAGE(ConvContract):
    reference, conv = SAGEConv, HAGSAGEConv
    bipartite = True
    variants = (
        {},
        {"aggr": "max"},
        {"aggr": "sum"},
        {"aggr": "min"},
        {"normalize": True, "project": True},
        {"root_weight": False, "bias": False},
        {"aggr": "max", "flow": "target_to_source"},
    )

    def test_other_aggregations_need_an_edge_index(self):
        edge_index, (n, _) = random_graph(0, 20, 20, 0.3)
        layer = HAGSAGEConv(8, 6, aggr=["mean", "median"])
        x = torch.randn(20, 8)
        assert layer(x, edge_index).shape == (20, 6)
        with pytest.raises(ValueError, match="'HAGSAGEConv': 'aggr' must be one of"):
            layer(x, fewest_hag(edge_index, n))

    def test_size_must_be_that_of_the_hag(self):
        edge_index, size = random_graph(0, 20, 10, 0.3)
        hag, layer = fewest_hag(edge_index, size=size), HAGSAGEConv(8, 6)
        x = torch.randn(20, 8)
        assert layer((x, None), hag, size=(20, 10)).shape == (10, 6)
        with pytest.raises(ValueError, match="11 destinations"):
            layer((x, None), hag, size=(20, 11))


class TestGIN(ConvContract):
    reference, conv = GINConv, HAGGINConv
    bipartite = True
    variants = (
        {},
        {"eps": 0.3, "train_eps": True},
        {"aggr": "mean"},
        {"aggr": "max"},
        {"flow": "target_to_source"},
    )

    def make(self, cls, options):
        nn = torch.nn.Sequential(
            torch.nn.Linear(8, 10), torch.nn.ReLU(), torch.nn.Linear(10, 6)
        )
        return cls(nn, **options)


def without_extremes(variants):
    return tuple(v for v in variants if v.get("aggr") not in ("max", "min"))


class TestGCNSigned(TestGCN, SignedConvContract):
    pass


class TestSAGESigned(TestSAGE, SignedConvContract):
    variants = without_extremes(TestSAGE.variants)


class TestGINSigned(TestGIN, SignedConvContract):
    variants = without_extremes(TestGIN.variants)


def two_cliques():
    edges = clique(range(8)) + clique(range(8, 17))
    return edge_index_of(edges), 17


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (GCNConv(8, 6), HAGGCNConv(8, 6)),
        (GINConv(torch.nn.Linear(8, 6)), HAGGINConv(torch.nn.Linear(8, 6))),
    ],
    ids=["GCN", "GIN"],
)
def test_layers_that_add_the_node_read_closed_rows(theirs, ours, flow, monkeypatch):
    """So that nothing is subtracted, not even what is infinite."""
    edge_index, n = two_cliques()
    hag = signed_hag(edge_index, n)
    assert hag.stats.subtractions == n
    seen = []
    monkeypatch.setattr(
        "pyg_hag.nn.mixins.aggregation.aggregate",
        lambda x, hag, *args: seen.append(hag) or aggregate(x, hag, *args),
    )
    theirs.flow = ours.flow = flow
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(n, 8)
    torch.testing.assert_close(ours(x, hag), theirs(x, edge_index))
    assert [h.is_signed for h in seen] == [False]
    x[3] = torch.inf
    infinite = ours(x, hag)
    torch.testing.assert_close(infinite[8:], theirs(x, edge_index)[8:])
    assert not infinite[:8].isfinite().any()
