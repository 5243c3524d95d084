import copy
import pickle

import pytest
import torch
from graphs import random_graph
from torch_geometric import nn
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader

from pyg_hag import HAGHeteroData, HAGTransform
from pyg_hag.nn import to_hag

RATES, RATED, KNOWS = (
    ("user", "rates", "item"),
    ("item", "rated", "user"),
    ("user", "knows", "user"),
)


def graph(seed, users=20, items=30):
    data = HeteroData()
    torch.manual_seed(seed)
    data["user"].x, data["item"].x = torch.randn(users, 8), torch.randn(items, 8)
    data[RATES].edge_index = random_graph(seed, users, items, 0.4)[0]
    data[RATED].edge_index = random_graph(seed + 1, items, users, 0.4)[0]
    data[KNOWS].edge_index = random_graph(seed + 2, users, users, 0.4)[0]
    return data


def transformed(*args, **kwargs):
    return HAGTransform(objective="aggregations", **kwargs)(graph(*args))


def check(data):
    assert data.hag_dict.keys() == data.edge_index_dict.keys()
    for kind, hag in data.hag_dict.items():
        hag.validate(data[kind].edge_index)
        assert hag.num_src == data[kind[0]].num_nodes
        assert hag.num_dst == data[kind[-1]].num_nodes


def model():
    return nn.HeteroConv(
        {
            RATES: nn.SAGEConv((8, 8), 4),
            RATED: nn.GATConv((8, 8), 4, add_self_loops=False),
            KNOWS: nn.GCNConv(8, 4),
        }
    )


def test_one_hag_per_edge_type():
    data = transformed(0)
    assert isinstance(data, HAGHeteroData)
    check(data)
    assert all(hag.num_aggregates > 0 for hag in data.hag_dict.values())
    assert data.hag_dict[KNOWS] is data.hag_dict[KNOWS]  # made once
    conv = model()
    wanted = conv(data.x_dict, data.edge_index_dict)
    torch.testing.assert_close(to_hag(conv)(data.x_dict, data.hag_dict), wanted)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches(num_workers):
    graphs = [transformed(i, 10 + i, 25 - i) for i in range(6)]
    conv = model()
    for batch in DataLoader(graphs, batch_size=3, num_workers=num_workers):
        check(batch)
        wanted = conv(batch.x_dict, batch.edge_index_dict)
        torch.testing.assert_close(to_hag(conv)(batch.x_dict, batch.hag_dict), wanted)
    again = Batch.from_data_list(graphs).to_data_list()[4]
    assert again.hag_dict == graphs[4].hag_dict


def test_copies_and_changes():
    data = transformed(1)
    for other in (copy.copy(data), copy.deepcopy(data), data.clone()):
        check(other)
    check(pickle.loads(pickle.dumps(data)))
    changed = copy.copy(data)
    changed[RATES].edge_index = changed[RATES].edge_index.flip(1)
    check(changed)
    changed[RATES].edge_index = changed[RATES].edge_index[:, 1:]
    with pytest.raises(ValueError, match=r"data.hag_dict\[.*its edges have changed"):
        _ = changed.hag_dict
    check(data)
    changed = copy.copy(data)
    changed["item"].x = changed["item"].x[:-1]
    with pytest.raises(ValueError, match="it had 30 nodes and has 29"):
        _ = changed.hag_dict


def test_self_loops_are_for_edges_within_a_type():
    data = transformed(2, add_self_loops=True)
    check(data)
    assert (data.hag_dict[KNOWS].self_loops >= 1).all()
    assert data[RATES].edge_index.size(1) == graph(2)[RATES].edge_index.size(1)
