"""Memory of large results."""

import gc
import threading

import pytest
import torch
from graphs import edge_index_of, fewest_hag, forks, in_forked_child, random_graph

from pyg_hag import aggregate
from pyg_hag.runtime import memory

pytestmark = pytest.mark.alone

ROWS = 100


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Every result is large, and nothing waits."""
    monkeypatch.setattr(memory, "MIN_BYTES", 1)
    monkeypatch.setattr(memory, "LIMIT", 10 * ROWS * 64 * 4)
    memory.release_memory()
    yield
    memory.release_memory()


def result(rows=ROWS, columns=64, dtype=torch.float32):
    return memory.empty(torch.empty(0, dtype=dtype), rows, columns)


def test_memory_is_used_again():
    first = result()
    assert first.shape == (ROWS, 64) and first.dtype == torch.float32
    address = first.data_ptr()
    del first
    assert result().data_ptr() == address
    assert result(dtype=torch.float64, columns=32).data_ptr() == address


@pytest.mark.parametrize(
    "keep",
    [
        lambda t: t.view(-1),
        lambda t: t[3:5],
        lambda t: t.numpy(),
        lambda t: t.detach(),
        lambda t: t.requires_grad_().sum(),
        lambda t: t.untyped_storage(),
        lambda t: memoryview(t.numpy()),
    ],
    ids=["view", "slice", "numpy", "detached", "graph", "storage", "memoryview"],
)
@pytest.mark.at_most(4)
def test_what_is_still_seen_is_not_used_again(keep):
    first = result()
    address = first.data_ptr()
    kept = keep(first)
    del first
    others = [result() for _ in range(3)]
    assert address not in {t.data_ptr() for t in others}
    if getattr(kept, "requires_grad", False):
        kept.backward()
    del kept
    gc.collect()
    assert result().data_ptr() in {address, *(t.data_ptr() for t in others)}


def test_only_buffers_of_about_the_size_are_taken():
    first = result()
    address = first.data_ptr()
    del first
    assert result(rows=2 * ROWS).data_ptr() != address
    assert result(rows=ROWS // 2).data_ptr() != address
    assert result(rows=ROWS - 5).data_ptr() == address


def test_no_more_waits_than_the_limit():
    many = [result() for _ in range(30)]
    del many
    assert sum(b.nbytes for b in memory._pool._buffers) <= memory.LIMIT
    memory.release_memory()
    assert not memory._pool._buffers


@pytest.mark.parametrize(("name", "value"), [("MIN_BYTES", 1 << 20), ("LIMIT", 0)])
def test_ordinary_results(name, value, monkeypatch):
    monkeypatch.setattr(memory, name, value)
    first = result()
    first.resize_(2 * ROWS, 64)  # memory that waits cannot grow
    del first
    assert not memory._pool._buffers


def test_results_beyond_the_limit_do_not_wait():
    first = result(100 * ROWS)
    del first
    assert not memory._pool._buffers


def test_no_rows_and_no_columns():
    assert result(rows=0).shape == (0, 64)
    assert result(columns=0).shape == (ROWS, 0)


def test_results_in_used_memory_are_right():
    edge_index, (n, _) = random_graph(0, 80, 80, 0.4)
    hag = fewest_hag(edge_index, n)
    for seed in range(20):
        torch.manual_seed(seed)
        x = torch.randn(n, 16, requires_grad=True)
        wanted = torch.zeros(n, 16).index_add_(0, edge_index[1], x[edge_index[0]])
        out = aggregate(x, hag)
        torch.testing.assert_close(out, wanted)
        (grad,) = torch.autograd.grad(out.sum(), x)
        degree = edge_index[0].bincount(minlength=n).float()
        torch.testing.assert_close(grad, degree[:, None].expand_as(grad))


def test_several_threads():
    edge_index, (n, _) = random_graph(0, 80, 80, 0.4)
    hag = fewest_hag(edge_index, n)
    errors = []

    def work(seed):
        x = torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))
        wanted = torch.zeros(n, 16).index_add_(0, edge_index[1], x[edge_index[0]])
        outs = (aggregate(x, hag) for _ in range(200))
        errors.extend(out for out in outs if not out.allclose(wanted, atol=1e-4))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@forks
def test_a_forked_child_has_memory_of_its_own():
    hag = fewest_hag(edge_index_of([(0, 1), (1, 0)]))
    x = torch.randn(2, 64)
    kept = aggregate(x, hag)
    del kept
    with memory._pool._lock:  # as another thread might, while this one forks
        child = in_forked_child(lambda: aggregate(x, hag).tolist())
    assert child == x.flip(0).tolist()
    assert in_forked_child(lambda: len(memory._pool._buffers)) == 0
