import copy

import pytest
import torch
import torch_geometric.transforms as T
from graphs import ODD_GRAPHS, FewestTransform, fewest_hag, random_graph
from torch_geometric.data import Batch, Data
from torch_geometric.data.datapipes import DatasetAdapter

from pyg_hag import HAGData, HAGTransform


def data(seed=0, n=20):
    edge_index, _ = random_graph(seed, n, n, 0.3)
    return Data(torch.randn(n, 4), edge_index, y=torch.tensor([seed]), note="kept")


@pytest.mark.parametrize(
    "name", [k for k, g in ODD_GRAPHS.items() if g[1][0] == g[1][1]]
)
def test_odd_graphs(name):
    edge_index, (n, _) = ODD_GRAPHS[name]
    out = FewestTransform()(Data(edge_index=edge_index, num_nodes=n))
    assert out.hag == fewest_hag(edge_index, n)
    out.hag.validate(edge_index)


def test_keeps_everything_and_leaves_its_input_alone():
    before = data()
    kept = copy.deepcopy(before)
    out = T.Compose([T.ToUndirected(), FewestTransform()])(before)
    assert type(out) is HAGData and out.note == "kept" and out.y.item() == 0
    assert torch.equal(out.x, before.x)
    assert before.to_dict().keys() == kept.to_dict().keys()
    assert torch.equal(before.edge_index, kept.edge_index)
    out.hag.validate(T.ToUndirected()(before).edge_index)


def test_add_self_loops_is_that_of_pyg():
    for seed in range(3):
        wanted = T.AddSelfLoops()(data(seed))
        out = FewestTransform(add_self_loops=True)(data(seed))
        assert torch.equal(out.edge_index, wanted.edge_index)
        assert "edge_weight" not in out
        out.hag.validate(wanted.edge_index)
        assert (out.hag.self_loops >= 1).all()


def test_options_reach_the_search():
    assert FewestTransform(capacity=0)(data()).hag.num_aggregates == 0
    assert 0 < FewestTransform(capacity=3)(data()).hag.num_aggregates <= 3
    wanted = fewest_hag(data().edge_index, 20, min_redundancy=4)
    assert FewestTransform(min_redundancy=4)(data()).hag == wanted


def test_weights_need_edges():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    data.edge_weight = torch.rand(2)
    with pytest.raises(ValueError, match="without 'remove_edge_index'"):
        HAGTransform(remove_edge_index=True)(data)
    with pytest.raises(TypeError, match="'remove_edge_index' must be a bool"):
        HAGTransform(remove_edge_index=1)


def test_repr_shows_every_parameter():
    assert "remove_edge_index=True" in repr(HAGTransform(remove_edge_index=True))
    assert repr(HAGTransform(capacity=9)) == (
        "HAGTransform(add_self_loops=False, weights='factored', objective='time', "
        "method='auto', num_features=64, capacity=9, min_redundancy=None, "
        "cost_model=None, time_limit=None, memory_limit=None, order='set', "
        "neighbor_order=None, subtract=False, num_passes=None)"
    )
    assert "order='sequential', neighbor_order='shared'" in repr(
        HAGTransform(order="sequential", neighbor_order="shared")
    )


def test_batches_are_transformed_graph_by_graph():
    batch = Batch.from_data_list([data(seed) for seed in range(4)])
    out = FewestTransform()(batch)
    out.hag.validate(batch.edge_index)
    for seed, graph in enumerate(out.to_data_list()):
        assert graph.hag == FewestTransform()(data(seed)).hag


def test_functional_name():
    (out,) = DatasetAdapter([data()]).to_hag(capacity=2)
    assert out.hag.num_aggregates <= 2


def test_transforming_again_builds_anew():
    once = FewestTransform()(data())
    once.edge_index = once.edge_index.flip(0)
    again = FewestTransform()(once)
    again.hag.validate(data().edge_index.flip(0))


def test_own_classes_are_kept_or_refused():
    class Mine(HAGData):
        def extra(self):
            return 1

    class Foreign(Data):
        pass

    out = FewestTransform()(Mine.from_dict(data().to_dict()))
    assert type(out) is Mine and out.extra() == 1 and out.hag.num_dst == 20
    with pytest.raises(TypeError, match="'data' is a Foreign"):
        FewestTransform()(Foreign.from_dict(data().to_dict()))


def test_errors_say_the_way_out():
    with pytest.raises(TypeError, match="'Data' or 'HeteroData'"):
        FewestTransform()([data()])
    with pytest.raises(ValueError, match="neither 'edge_index' nor 'adj_t'"):
        FewestTransform()(Data(x=torch.ones(3, 1)))
    weighted = data()
    weighted.edge_weight = torch.rand(weighted.num_edges)
    with pytest.raises(ValueError, match="edge_weight"):
        FewestTransform()(weighted)
    weighted.edge_weight = torch.ones(weighted.num_edges)
    assert FewestTransform()(weighted).hag.num_edges == weighted.num_edges
    for wrong, error in (
        ({"add_self_loops": 1}, TypeError),
        ({"capacity": -1}, ValueError),
        ({"capacity": 0.25}, TypeError),
        ({"min_redundancy": 1}, ValueError),
    ):
        with pytest.raises(error, match=next(iter(wrong))):
            FewestTransform(**wrong)
