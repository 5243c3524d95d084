"""Files that version 0.1.0 has written, before its modules moved, still load."""

from pathlib import Path

import pytest
import torch

from pyg_hag import HAG, HAGData, HAGHeteroData, aggregate

DATA = Path(__file__).parent / "data"
KINDS = ("set", "signed", "sequential", "plain")


@pytest.fixture(scope="module")
def stored():
    return torch.load(DATA / "datasets_0_1.pt", weights_only=False)


@pytest.mark.parametrize("kind", KINDS)
def test_hags_in_files(kind, stored):
    hag = HAG.load(DATA / f"{kind}_0_1.hag")
    assert hag == stored["hags"][KINDS.index(kind)]
    assert hag.is_signed == (kind == "signed")
    assert hag.is_sequential == (kind == "sequential")
    assert (hag.num_aggregates == 0) == (kind == "plain")
    hag.validate(stored["edge_index"])


def test_stored_data(stored):
    edge_index, x = stored["edge_index"], torch.randn(12, 3)
    wanted = torch.zeros(12, 3).index_add_(0, edge_index[1], x[edge_index[0]])
    for data, hag in zip(stored["data"], stored["hags"], strict=True):
        assert type(data) is HAGData and data.hag == hag
        torch.testing.assert_close(aggregate(x, data.hag), wanted)


def test_stored_batches_and_hetero_data(stored):
    batch, hetero = stored["batch"], stored["hetero"]
    assert batch.num_graphs == 2 and isinstance(batch, HAGData)
    batch.hag.validate(batch.edge_index)
    assert type(hetero) is HAGHeteroData
    for edge_type, hag in hetero.hag_dict.items():
        hag.validate(hetero[edge_type].edge_index)
