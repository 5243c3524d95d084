import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from graphs import forks, in_forked_child, num_threads

from pyg_hag.runtime import thread_pool

pytestmark = pytest.mark.alone


def calls(num_tasks):
    """How often `run` called each task, sorted."""
    done = []
    thread_pool.run(done.append, num_tasks)
    return sorted(done)


@pytest.fixture(params=[1, 2, 4, 64])
def threads(request):
    with num_threads(request.param):
        yield request.param


def test_number_of_threads_is_that_of_pytorch(threads):
    assert thread_pool.num_threads() == threads


@pytest.mark.parametrize("num_tasks", [0, 1, 2, 3, 63, 1000])
def test_every_task_runs_once(threads, num_tasks):
    for _ in range(20):
        assert calls(num_tasks) == list(range(num_tasks))


def test_tasks_run_side_by_side():
    both = threading.Barrier(2)
    with num_threads(2):
        thread_pool.run(lambda _: both.wait(timeout=60), 2)  # else BrokenBarrierError
    assert not both.broken


@pytest.mark.parametrize(("count", "num_tasks"), [(1, 10), (4, 1)])
def test_one_thread_or_one_task_stays_with_the_caller(count, num_tasks):
    names = []
    with num_threads(count):
        thread_pool.run(lambda _: names.append(threading.current_thread()), num_tasks)
    assert names == num_tasks * [threading.current_thread()]


@pytest.mark.parametrize("bad", [0, 1, 50, 99])
def test_exceptions_propagate(threads, bad):
    def task(i):
        if i == bad:
            raise LookupError(f"task {i}")

    with pytest.raises(LookupError, match=f"task {bad}"):
        thread_pool.run(task, 100)
    assert calls(100) == list(range(100))  # and it is as good as new


def test_exceptions_of_every_thread():
    def task(i):
        raise LookupError(f"task {i}")

    with num_threads(4), pytest.raises(LookupError, match="task"):
        thread_pool.run(task, 100)
    assert calls(9) == list(range(9))


def test_an_exception_of_a_helper_propagates():
    caller, helped = threading.current_thread(), threading.Event()

    def task(_):
        if threading.current_thread() is caller:
            assert helped.wait(timeout=60)  # so that a helper takes a task, too
        else:
            helped.set()
            raise LookupError("helper")

    with num_threads(2), pytest.raises(LookupError, match="helper"):
        thread_pool.run(task, 2)


def test_helpers_are_waited_for_when_the_caller_fails():
    caller, both, ended = threading.current_thread(), threading.Barrier(2), []

    def task(_):
        both.wait(timeout=60)  # so that each takes one task
        if threading.current_thread() is caller:
            raise LookupError("caller")
        time.sleep(0.05)
        ended.append(True)

    with num_threads(2), pytest.raises(LookupError, match="caller"):
        thread_pool.run(task, 2)
    assert ended == [True]


def test_several_python_threads_at_once():
    with num_threads(4), ThreadPoolExecutor(8) as pool:
        for result in pool.map(calls, range(200)):
            assert result == list(range(len(result)))


@pytest.mark.parametrize("num_tasks", [1, 100])
@forks
def test_after_a_fork(num_tasks):
    with num_threads(4):
        assert calls(100) == list(range(100))  # the parent has threads
        assert in_forked_child(lambda: calls(num_tasks)) == list(range(num_tasks))
        assert calls(100) == list(range(100))


@forks
def test_after_a_fork_of_a_fork():
    with num_threads(4):
        calls(100)
        result = in_forked_child(lambda: (calls(50), in_forked_child(lambda: calls(9))))
    assert result == (list(range(50)), list(range(9)))


def test_a_task_may_run_tasks():
    done = []

    def outer(i):
        thread_pool.run(lambda j: done.append((i, j)), 4)

    with num_threads(4):
        thread_pool.run(outer, 8)
    assert sorted(done) == [(i, j) for i in range(8) for j in range(4)]
