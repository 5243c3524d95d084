"""What the search chose and why: it goes wherever the HAG goes."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from graphs import biclique, edge_index_of
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader

from pyg_hag import HAG, HAGTransform, build_hag
from pyg_hag.data.store import KEY
from pyg_hag.hag.decision import _BITS, Decision, Reason, describe

DENSE = edge_index_of(biclique(range(40), range(40)))
SPARSE = edge_index_of([(v, v + 1) for v in range(39)])
OPTIONS = {
    "HAG: predicted to take 0.": {},
    "HAG of fewest aggregations": {"objective": "aggregations"},
    "plain: 'capacity' is 0": {"capacity": 0},
    "plain: 1 passes of about ": {"num_passes": 1},
    "sequential HAG: prefixes shared in 'shared' order": {
        "order": "sequential",
        "neighbor_order": "shared",
    },
}


def _data(edge_index=DENSE):
    return Data(edge_index=edge_index, num_nodes=40)


def _saved(value, save, load, path):
    save(value, path)
    return load(path)


@pytest.mark.parametrize("expected", OPTIONS)
def test_hags_keep_it(expected, tmp_path):
    hag = build_hag(DENSE, 40, **OPTIONS[expected])
    decision = hag.stats.decision
    assert decision.startswith(expected)
    hag.save(tmp_path / "a.hag")
    torch.save(hag, tmp_path / "a.pt")
    others = {
        "file": HAG.load(tmp_path / "a.hag"),
        "torch": torch.load(tmp_path / "a.pt", weights_only=False),
        "pickle": pickle.loads(pickle.dumps(hag)),
        "copy": copy.copy(hag),
        "deepcopy": copy.deepcopy(hag),
        "to": hag.to("cpu"),
    }
    for name, other in others.items():
        assert other.stats.decision == decision, name


@pytest.mark.parametrize("remove", [False, True], ids=["edges", "no edges"])
@pytest.mark.parametrize("expected", OPTIONS)
def test_data_keeps_it(expected, remove, tmp_path):
    transform = HAGTransform(**OPTIONS[expected], remove_edge_index=remove)
    data = transform(_data())
    torch.save(data, tmp_path / "a.pt")
    stream = io.BytesIO()
    torch.save(data, stream)
    stream.seek(0)
    batch = Batch.from_data_list([data, transform(_data())])
    others = {
        "data": data,
        "copy": copy.copy(data),
        "deepcopy": copy.deepcopy(data),
        "clone": data.clone(),
        "pickle": pickle.loads(pickle.dumps(data)),
        "file": torch.load(tmp_path / "a.pt", weights_only=False),
        "of a batch": batch[1],
        "loader": next(iter(DataLoader([data]))),
    }
    for name, other in others.items():
        assert other.hag.stats.decision.startswith(expected), name
    assert batch.hag.stats.decision.startswith(f"2 graphs {expected}")


def test_heterogeneous_data_keep_it():
    data = HeteroData()
    data["a"].num_nodes = data["b"].num_nodes = 40
    data["a", "to", "b"].edge_index = DENSE
    data["b", "to", "a"].edge_index = SPARSE
    data = HAGTransform()(data)
    assert data.hag_dict["a", "to", "b"].stats.decision.startswith("HAG: predicted")
    assert data.hag_dict["b", "to", "a"].stats.decision.startswith("plain: ")


def test_batches_count():
    dense, sparse = map(HAGTransform(), (_data(), _data(SPARSE)))
    batch = Batch.from_data_list([dense, sparse, dense])
    first, second = batch.hag.stats.decision.split("; ")
    assert first.startswith("2 graphs HAG: predicted to take 0.")
    assert second == "1 graph plain: no aggregate saves time"


def test_limits_are_named():
    edge_index = torch.randint(2000, (2, 60_000))
    hag = build_hag(edge_index, objective="aggregations", time_limit=0.0)
    assert hag.stats.decision.endswith("; 'time_limit' cut the search short")
    data = HAGTransform(objective="aggregations", time_limit=0.0)(
        Data(edge_index=edge_index, num_nodes=2000)
    )
    assert "'time_limit'" in data.hag.stats.decision
    hag = build_hag(edge_index, objective="aggregations", memory_limit=2**20)
    assert "'memory_limit'" in hag.stats.decision


def test_numbers():
    ranges = [sorted({0, 1, (1 << bits) - 1}) for bits in _BITS.values()]
    ranges[0] = [*Reason][1:]
    codes = set()
    for values in itertools.product(*ranges):
        decision = Decision(*values)
        assert Decision.of(decision.code) == decision
        assert str(decision)
        codes.add(decision.code)
    assert max(codes) < 2**55
    assert len(codes) == 10 * 2 * 2 * 3**3
    too_large = Decision(Reason.PAYS, percent=10**6, width=2**40, number=2**40)
    assert Decision.of(too_large.code).reason == Reason.PAYS
    assert describe([]) == describe([0]) == ""


@pytest.mark.parametrize("code", [-1, 15, 2**62, 1 << 55])
def test_unknown_numbers_say_nothing(code):
    assert Decision.of(code) == Decision()
    hag = build_hag(DENSE, 40)
    hag.decided(code)
    assert hag.stats.decision == ""


def test_data_of_older_versions_have_none():
    data = _data()
    data = HAGTransform()(data)
    del data["hag_packed"]
    data.hag = build_hag(DENSE, 40).decided()
    assert data[KEY][5] < 16
    assert data.hag.stats.decision == ""
