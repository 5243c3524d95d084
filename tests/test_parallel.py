import sys
import threading

import pytest
import torch
from graphs import fewest_hag, forks, in_forked_child, num_threads, random_graph

from pyg_hag import aggregate
from pyg_hag.runtime import openmp

pytestmark = pytest.mark.alone

REDUCES = ("sum", "max")


@pytest.fixture
def results(monkeypatch):
    """Computes outputs and gradients, always split into several tasks."""
    monkeypatch.setattr("pyg_hag.plan.cpu.MIN_WORK", 0)
    edge_index, size = random_graph(0, 120, 120, 0.3)
    hag = fewest_hag(edge_index, size=size)
    x = torch.randn(120, 70)

    def compute():
        out = []
        for reduce in REDUCES:
            leaf = x.clone().requires_grad_()
            y = aggregate(leaf, hag, reduce)
            y.backward(x)
            out += [y.detach(), leaf.grad]
        return out

    return compute


def equal(a, b):
    return all(map(torch.equal, a, b))


def test_every_way_to_run_gives_the_same_bits(results, monkeypatch):
    with num_threads(1):
        wanted = results()
    for threads in (2, 3, 8):
        with num_threads(threads):
            assert equal(results(), wanted)
            with monkeypatch.context() as patch:
                patch.setattr(openmp, "_gnu_openmp", lambda: None)
                assert equal(results(), wanted)
                patch.setattr(openmp, "checks_bounds", lambda: True)
                assert equal(results(), wanted)


def test_one_task_stays_with_the_caller(monkeypatch):
    monkeypatch.setattr("pyg_hag.plan.cpu.MIN_WORK", 0)
    edge_index, size = random_graph(0, 120, 120, 0.3)
    hag, x = fewest_hag(edge_index, size=size), torch.randn(120, 8)
    counts, run = [], openmp.run

    def counted(entry, block, num_tasks, team):
        counts.append(num_tasks)
        run(entry, block, num_tasks, team)

    monkeypatch.setattr(openmp, "run", counted)
    with num_threads(1):
        aggregate(x, hag)
    assert counts == []
    with num_threads(2):
        aggregate(x, hag)
    assert len(counts) == 1 and counts[0] > 1


@pytest.mark.skipif(openmp._gnu_openmp() is None, reason="another OpenMP than GNU's")
def test_uses_the_threads_of_pytorch(results, monkeypatch):
    monkeypatch.setattr(openmp.thread_pool, "run", None)  # not the library's own
    with num_threads(2):
        assert len(results()) == 4


@forks
def test_a_forked_child_uses_threads_of_its_own(results, monkeypatch):
    with num_threads(2):
        wanted = results()  # the team of this process has run
        assert in_forked_child(lambda: openmp._forked and equal(results(), wanted))
    assert not openmp._forked


def test_several_python_threads_at_once(results):
    wanted, seen = results(), []
    threads = [
        threading.Thread(target=lambda: seen.append(equal(results(), wanted)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 6


def test_other_platforms_have_no_team(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert openmp._gnu_openmp.__wrapped__() is None
