"""What may go wrong outside of the process, or be done to it: see docs/reliability.md.

Each attack runs in a process of its own, so that a crash is a failing test.
"""

from pathlib import Path

import pytest
from attack.alone import alone
from attack.hags import KINDS
from attack.limits import GRAPHS, OPTIONS

from pyg_hag.analysis.memory import can_measure

pytestmark = pytest.mark.xdist_group("attacks")
DATA = Path(__file__).parent / "data"


SAMPLE = pytest.param(False, id="sample")
ALL = pytest.param(True, marks=[pytest.mark.full, pytest.mark.attack], id="all")
each_size = pytest.mark.parametrize("is_full", [SAMPLE, ALL])


@each_size
@pytest.mark.parametrize("kinds", ["sets", "others"])
def test_every_byte_of_a_file_matters_or_does_not(tmp_path, kinds, is_full):
    share = 1 if is_full else 0.02
    sets = "set", "plain", "signed"
    chosen = sets if kinds == "sets" else [kind for kind in KINDS if kind not in sets]
    found = alone("files.single_bytes", tmp_path, share, *chosen, timeout=3000)
    assert int(found["refused"]) > int(found["same"]) > 0


@each_size
def test_every_byte_of_an_old_file_matters_or_does_not(tmp_path, is_full):
    old = [
        DATA / f"{kind}_0_1.hag" for kind in ("set", "signed", "sequential", "plain")
    ]
    share = 1 if is_full else 0.02
    alone("files.old_single_bytes", tmp_path, share, *old, timeout=3000)


def test_every_number_of_a_file_matters(tmp_path):
    assert alone("files.rewritten_members", tmp_path) == {"refused": "all"}


@each_size
def test_files_that_are_changed_at_random(tmp_path, is_full):
    count = 100_000 if is_full else 1000
    alone("files.random_changes", tmp_path, count, timeout=3000)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    assert alone("files.full_disk", tmp_path) == {"kept": "all"}


@each_size
def test_pickles_that_are_changed_at_random(is_full):
    count = 40_000 if is_full else 300
    assert int(alone("pickles.changed_hags", count)["loaded"]) > count // 20


@each_size
def test_pickles_of_data_that_are_changed_at_random(is_full):
    count = 20_000 if is_full else 200
    assert int(alone("pickles.changed_data", count)["loaded"]) > count // 20


@each_size
def test_states_of_int8_models_that_are_changed_at_random(is_full):
    count = 10_000 if is_full else 150
    assert int(alone("pickles.changed_models", count)["loaded"]) > count // 20


def test_forged_pickles():
    found = alone("pickles.forged_states")
    assert int(found["loaded"]) > 100 and int(found["refused"]) > 100


def test_forged_states_of_int8_models():
    assert int(alone("pickles.forged_models")["refused"]) > 30


def test_tensors_that_are_changed_in_place():
    alone("pickles.rewritten_tensors")


def test_pickles_do_not_bring_what_is_kept_in_memory():
    alone("pickles.stored_cache")


@each_size
def test_interrupts_arrive(is_full):
    alone("processes.interrupted", 20 if is_full else 3)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_forked_children_search(dtype):
    alone("processes.forked", 2, dtype)


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_of_all_kinds(context):
    alone("processes.loaders", context)


def test_threads_at_once():
    alone("processes.threads", 8)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(name, marks=[pytest.mark.full] * (name == "subtract"))
        for name in OPTIONS
    ],
)
@pytest.mark.at_most(2)
def test_memory_is_kept_to(name, options):
    if not can_measure():
        pytest.skip("the system does not tell")
    alone("limits.memory", name, options)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.at_most(1)
def test_searches_of_little_time(name):
    alone("limits.seconds", name, "time")


def test_long_chains_take_as_long_as_their_edges():
    """The square of their edges would take hours."""
    assert alone("small.chain", 300_000, timeout=200) == {"edges": "300000"}


def test_what_stands_for_more_than_fits():
    found = alone("small.doubling", 10, 28, 60, timeout=200)
    for levels in (10, 28, 60):
        said = found[f"{levels}.validate"]
        assert "than one path" in said or "max_edges" in said
        assert "a larger 'max_edges'" in found[f"{levels}.to_edge_index"]
        assert (f"{levels}.self_loops" in found) == (levels > 20)


def test_sources_that_do_not_fit():
    found = alone("small.many_sources", 2**31 - 1, timeout=200)
    assert "2,147,483,647 destinations" in found["t"] and "num_src" in found["t"]
