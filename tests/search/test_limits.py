"""Time, memory, Ctrl-C and the progress bar."""

import _thread
import signal
import sys
import threading
import time

import numpy as np
import pytest
from contract import GRAPHS
from graphs import (
    clique,
    edge_index_of,
    fewest_hag,
    num_threads,
    random_graph,
    skewed_graph,
)
from imports import CODE

from pyg_hag import build_hag
from pyg_hag.graph.sort import to_rows
from pyg_hag.hag.plain import flat_of_rows, plain_flat
from pyg_hag.search import progress, select
from pyg_hag.search.memory import Memory, TooLittleMemory
from pyg_hag.search.options import SearchOptions

pytestmark = pytest.mark.alone

GRAPH = skewed_graph(0, 100, 600)


def hag_of(graph, **options):
    return fewest_hag(graph[0], size=graph[1], **options)


def test_no_time_gives_a_valid_hag():
    hag = hag_of(GRAPH, time_limit=0)
    hag.validate(GRAPH[0])
    assert hag.stats.aggregations >= hag_of(GRAPH).stats.aggregations


@pytest.mark.parametrize("method", ["auto", "greedy"])
def test_a_search_stops_when_told(method):
    """At any number of merges what was found so far is valid."""
    options = SearchOptions(objective="aggregations", method=method)
    src, dst = GRAPH[0].numpy()
    control = np.zeros(2, np.int64)
    control[progress.STOP] = 1
    hag = select.find_hag(src, dst, *GRAPH[1], options, control)
    hag.validate(GRAPH[0])
    full = hag_of(GRAPH, method=method)
    assert hag.stats.aggregations > full.stats.aggregations


def test_a_search_is_told_when_its_time_is_over():
    def search(control):
        begin = time.monotonic()
        while control[progress.STOP] == 0 and time.monotonic() - begin < 60:
            time.sleep(0.01)
        return int(control[progress.STOP])

    assert progress.watched(search, 0.1, False) == 1


def test_enough_time_changes_nothing():
    assert hag_of(GRAPH, time_limit=600) == hag_of(GRAPH)


@pytest.fixture
def _interruptible():
    """Processes that a shell starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_ends_the_search(count):
    """While the search waits for a stop that only the interrupt sets."""
    seen = []

    def search(control):
        while control[progress.STOP] == 0:
            time.sleep(0.01)
        seen.append(True)

    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with num_threads(count), pytest.raises(KeyboardInterrupt):
        progress.watched(search, None, False)
    for _ in range(500):
        if seen:
            return
        time.sleep(0.01)
    pytest.fail("the search goes on")


def test_errors_of_the_search_are_raised():
    def search(control):
        raise ZeroDivisionError("in the search")

    with pytest.raises(ZeroDivisionError, match="in the search"):
        progress.watched(search, None, False)


def test_a_progress_bar_where_it_is_asked_for(capsys):
    expected = hag_of(GRAPH)
    assert hag_of(GRAPH, progress=True) == expected
    assert "HAG search" in capsys.readouterr().err
    assert hag_of(GRAPH, progress=False) == expected
    assert hag_of(GRAPH) == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("in_notebook", [False, True])
def test_a_progress_bar_leaves_a_line_in_a_notebook(in_notebook, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "ipykernel.zmqshell", raising=False)
    if in_notebook:
        monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", sys)
    hag_of(GRAPH, progress=True)
    last = capsys.readouterr().err.split("\r")[-1]  # what the others are replaced by
    assert last.startswith("HAG search: ") == last.endswith("\n") == in_notebook


def test_progress_bars_are_those_of_notebooks():
    files = [file for file in CODE.rglob("*.py") if "tqdm" in file.read_text()]
    assert len(files) > 5
    for file in files:
        assert "from tqdm.auto import tqdm" in file.read_text(), file


@pytest.mark.parametrize("num_parts", [2, 3, 7, 50])
def test_in_parts(num_parts, monkeypatch):
    for graph in (GRAPH, random_graph(1, 40, 40, 0.4, copies=2)):
        monkeypatch.undo()
        best = hag_of(graph).stats.aggregations
        monkeypatch.setattr(Memory, "count_parts", lambda *_: num_parts)
        for method in ("auto", "greedy"):
            hag = hag_of(graph, method=method)
            hag.validate(graph[0])
            assert best <= 1.03 * hag.stats.aggregations
            assert hag.stats.aggregations < hag.stats.plain_aggregations
            assert hag_of(graph, method=method, capacity=5).num_aggregates <= 5


def memory(limit, held=0):
    found = Memory(limit)
    found.held = held
    return found


STAGES = {
    "rows": lambda m: m.for_rows(10_000_000, 100_000),
    "twins": lambda m: m.for_twins(10_000_000, 100_000),
    "parts": lambda m: m.count_parts(10_000_000, 50_000, 50_000),
    "hag": lambda m: m.for_hag(10_000_000, 100_000),
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_needs_room(stage):
    check = STAGES[stage]
    check(memory(None, 1 << 60))
    check(memory(2 << 30, 1 << 30))
    for limit, held in ((1000, 0), (1 << 30, 1 << 30), (1 << 30, 1 << 40)):
        with pytest.raises(TooLittleMemory):
            check(memory(limit, held))


def test_memory_decides_on_the_parts():
    rows = 10_000_000, 50_000, 50_000
    assert memory(None).count_parts(*rows) == memory(1 << 40).count_parts(*rows) == 1
    limits = [m << 20 for m in (1000, 500, 400, 350)]
    counts = [memory(limit, 200 << 20).count_parts(*rows) for limit in limits]
    assert counts == sorted(counts)
    assert counts[0] == 1 < counts[-1]


@pytest.mark.parametrize("stage", ["for_rows", "for_twins", "count_parts", "for_hag"])
def test_a_stage_without_room_gives_the_graph_as_it_is(stage, monkeypatch):
    def refuse(*_):
        raise TooLittleMemory

    monkeypatch.setattr(Memory, stage, refuse)
    for options in ({}, {"subtract": True}, {"objective": "time"}):
        hag = hag_of(GRAPH, memory_limit=1 << 40, **options)
        assert "'memory_limit'" in hag.stats.decision
        assert hag == build_hag(GRAPH[0], size=GRAPH[1], capacity=0)


def test_memory_of_rows_is_counted_after_twins_are_one(monkeypatch):
    seen = []
    monkeypatch.setattr(Memory, "count_parts", lambda *args: seen.append(args) or 1)
    n = 20  # few enough edges for a second search, which leaves twins as they are
    hag_of((edge_index_of(clique(range(n))), (n, n)), memory_limit=1 << 30)
    assert len(seen) == 2
    assert sorted(args[1] for args in seen) == [0, n * (n - 1)]


def test_rows_are_sorted_in_place_where_there_is_no_search():
    for edge_index, size in GRAPHS.values():
        src, dst = edge_index.numpy()
        rows = to_rows(src, dst, *size)
        for got, wanted in zip(
            plain_flat(src, dst, size), flat_of_rows(*rows, size[0]), strict=True
        ):
            assert got.dtype == wanted.dtype and np.array_equal(got, wanted)


def test_too_little_memory_gives_the_graph_as_it_is():
    hag = hag_of(GRAPH, memory_limit=1)
    assert hag.num_aggregates == 0
    assert "'memory_limit'" in hag.stats.decision
    hag.validate(GRAPH[0])
    assert hag_of(GRAPH, memory_limit=1 << 40) == hag_of(GRAPH)


def test_an_empty_graph_in_every_way():
    for options in ({"time_limit": 1}, {"progress": True}, {"memory_limit": 1 << 30}):
        assert build_hag(edge_index_of([]), num_nodes=3, **options).num_edges == 0
