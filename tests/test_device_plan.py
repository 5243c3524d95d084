"""The plan of accelerators, walked as they do, gives what the graph gives."""

import numpy as np
import pytest
import torch
from contract import GRAPHS
from graphs import fewest_hag, random_graph, signed_hag, skewed_graph

from pyg_hag import build_hag
from pyg_hag.plan import gpu
from pyg_hag.plan.gpu import PADDING, ROWS, device_plan


def walked(hag, x):
    """Sums by the plan.

    A batch may read what earlier batches of its part and earlier launches have written.
    """
    plan = device_plan(hag)
    target, owner, ptr, inputs, part_ptr = (
        t.numpy()
        for t in (plan.target, plan.owner, plan.ptr, plan.inputs, plan.part_ptr)
    )
    out = np.full((hag.num_dst, x.shape[1]), np.nan)
    scratch = np.full((plan.num_slots, x.shape[1]), np.nan)
    parts = 0
    for first, last in plan.launches:
        assert first == parts and last > first
        parts = last
        written = []
        for part in range(first, last):
            seen = scratch.copy()
            for batch in range(part_ptr[part], part_ptr[part + 1]):
                made = []
                for r in range(batch * ROWS, (batch + 1) * ROWS):
                    total = np.zeros(x.shape[1])
                    for s in range(plan.segments):
                        at = r * plan.segments + s
                        chosen = inputs[ptr[at] : ptr[at + 1]]
                        values = (x if s % 2 == 0 else seen)[chosen]
                        total += values.sum(0) * (1 if s < 2 else -1)
                    if target[r] == PADDING:
                        assert owner[r] == PADDING and not total.any()
                    elif target[r] >= 0:
                        assert owner[r] == target[r] and np.isnan(out[target[r]]).all()
                        out[target[r]] = total
                    else:
                        made.append((-1 - target[r], total))
                for slot, total in made:
                    assert np.isnan(scratch[slot]).all() and np.isnan(seen[slot]).all()
                    seen[slot] = total
                written += made
        for slot, total in written:
            scratch[slot] = total
    assert parts == len(part_ptr) - 1
    assert not np.isnan(out).any() and not np.isnan(scratch).any()
    return out


def wanted(edge_index, size, x):
    out = np.zeros((size[1], x.shape[1]))
    np.add.at(out, edge_index[1].numpy(), x[edge_index[0].numpy()])
    return out


@pytest.fixture(params=["whole groups", "levels", "split hubs", "both"])
def limits(request, monkeypatch):
    """How groups and hubs are cut."""
    if request.param in ("levels", "both"):
        monkeypatch.setattr(gpu, "LOCAL_WORK", 0)
    if request.param in ("split hubs", "both"):
        monkeypatch.setattr(gpu, "MAX_INPUTS", 3)
        monkeypatch.setattr(gpu, "CHUNK", 2)
    return request.param


@pytest.mark.parametrize("name", GRAPHS)
def test_every_edge_is_read_once(name, limits):
    edge_index, size = GRAPHS[name]
    x = np.random.default_rng(0).integers(-9, 9, (size[0], 2)).astype(float)
    hags = [
        build_hag(edge_index, size=size, capacity=0),
        fewest_hag(edge_index, size=size),
    ]
    if size[0] == size[1]:
        hags.append(signed_hag(edge_index, size[0]))
    for hag in hags:
        for turned in (False, True):
            ends = edge_index.flip(0) if turned else edge_index
            there = size[::-1] if turned else size
            values = np.resize(x, (there[0], 2)) if x.size else np.zeros((there[0], 2))
            out = walked(hag.t() if turned else hag, values)
            assert np.array_equal(out, wanted(ends, there, values))


def test_hubs_are_split_as_often_as_needed(monkeypatch):
    monkeypatch.setattr(gpu, "MAX_INPUTS", 4)
    monkeypatch.setattr(gpu, "CHUNK", 2)
    edge_index, size = skewed_graph(0, 40, 200)
    hag = build_hag(edge_index.flip(0), size=size[::-1], capacity=0)
    plan = device_plan(hag)
    assert int(plan.ptr.diff().max()) <= 4 + 4  # chunks of sources are aggregates
    assert len(plan.launches) > 3
    x = np.random.default_rng(0).integers(-9, 9, (size[1], 2)).astype(float)
    assert np.array_equal(walked(hag, x), wanted(edge_index.flip(0), size[::-1], x))


def test_rows_of_a_batch_read_about_as_much():
    edge_index, size = random_graph(0, 400, 400, 0.1)
    plan = device_plan(build_hag(edge_index, size=size, capacity=0))
    counts = plan.ptr.diff().view(-1, ROWS, 2).sum(2)
    spread = (counts.amax(1) - counts.amin(1)).float().mean()
    assert spread < 0.5 * (counts.max() - counts.min())


def test_the_plan_is_on_the_device_of_the_hag():
    edge_index, size = random_graph(0, 30, 30, 0.3)
    hag = fewest_hag(edge_index, size=size)
    there = device_plan(hag.to("meta"))
    for name in ("target", "owner", "ptr", "inputs", "part_ptr"):
        here = getattr(device_plan(hag), name)
        assert getattr(there, name).device.type == "meta"
        assert getattr(there, name).shape == here.shape
        assert here.dtype == torch.int32 and here.data_ptr() % 16 == 0
    assert there.launches == device_plan(hag).launches
