"""Attacks by small files that stand for something large."""

import tempfile

import numpy as np
import torch

from pyg_hag import HAG


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(array, np.int64)) for array in arrays]


def loaded(hag):
    """The HAG as a stranger's file has it."""
    with tempfile.TemporaryDirectory() as folder:
        hag.save(f"{folder}/a.hag")
        return HAG.load(f"{folder}/a.hag")


def chain(length):
    """Aggregates of one input each; a destination reads each of them."""
    n = int(length)
    aggs = np.concatenate([np.arange(n - 1), np.arange(n)])
    counts = np.ones(2 * n), np.ones(2 * n)
    counts[0][1:] = 0
    counts[1][0] = 0
    flat = tensors([0], aggs, *counts, np.arange(n), [n], [n])
    hag = loaded(HAG(1, *flat))
    edge_index = hag.to_edge_index()
    assert torch.equal(
        edge_index, torch.stack([torch.zeros(n).long(), torch.arange(n)])
    )
    hag.validate()
    hag.validate(edge_index)
    assert hag.t().num_edges == n
    print(f"edges={n}")


def doubling(*levels):
    """Aggregates that each read the one before twice, and one destination."""
    for n in map(int, levels):
        aggs = [*np.repeat(np.arange(n - 1), 2), n - 1]
        counts = [1, *[0] * n], [0, *[2] * (n - 1), 1]
        hag = loaded(HAG(1, *tensors([0], aggs, *counts, [0], [n], [1])))
        assert hag.num_edges == 2 ** (n - 1)
        try:
            assert int(hag.self_loops) == hag.num_edges
        except ValueError as error:
            print(f"{n}.self_loops={error}")
        for attempt in (hag.to_edge_index, hag.validate):
            try:
                attempt(max_edges=511)
            except ValueError as error:
                print(f"{n}.{attempt.__name__}={error}")
            else:
                raise AssertionError(attempt)


def many_sources(count):
    """Sources that nobody reads."""
    hag = loaded(HAG(int(count), *tensors([5, 7], [], [2], [0], [0], [0], [1])))
    hag.validate()
    assert hag.to_edge_index().tolist() == [[5, 7], [0, 0]]
    try:
        print(f"t={hag.t()}")
    except MemoryError as error:
        print(f"t={error}")
