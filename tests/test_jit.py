import fcntl
import multiprocessing
import os

import numba
import numpy as np
import pytest
from imports import FILES, MODULES

from pyg_hag.graph.csr import to_lists
from pyg_hag.ops.cpu.program import entry_of
from pyg_hag.ops.cpu.reduction import Reduction
from pyg_hag.plan.cpu_schedule import schedule
from pyg_hag.runtime import code_cache
from pyg_hag.runtime import jit as jit_module


def test_cached_code_is_dated_by_the_whole_package():
    for function in (schedule, to_lists):
        cache = function._cache
        assert cache._impl.locator.get_source_stamp() == code_cache.PackageLocator.stamp
        assert cache._cache_file._source_stamp == code_cache.PackageLocator.stamp


def test_the_stamp_changes_with_any_file(monkeypatch, tmp_path):
    monkeypatch.setattr(code_cache, "PACKAGE", tmp_path)
    monkeypatch.setattr(code_cache, "COMPILED", ("deep", "cost.py"))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "cost.py").write_text("1")
    file = tmp_path / "deep" / "er" / "kernel.py"
    file.write_text("1")
    stamps = {code_cache.source_stamp()}
    file.write_text("12")
    os.utime(file, ns=(0, 0))
    stamps.add(code_cache.source_stamp())
    later = file.stat().st_mtime_ns + 10**18 * 2
    os.utime(file, ns=(0, later))
    stamps.add(code_cache.source_stamp())
    (tmp_path / "cost.py").write_text("12")
    stamps.add(code_cache.source_stamp())
    assert len(stamps) == 4
    (tmp_path / "beside.py").write_text("1")
    assert code_cache.source_stamp() in stamps


def test_the_stamp_has_all_that_machine_code_comes_from():
    found = set()
    compiled = {
        name
        for name, imported in MODULES.items()
        if "pyg_hag.runtime.jit" in imported or name.startswith("pyg_hag.ops.cpu")
    }
    while found != compiled:
        found, compiled = compiled, compiled.union(*map(MODULES.get, compiled))
    stamped = set()
    for name in code_cache.COMPILED:
        stamped |= {*code_cache._sources(code_cache.PACKAGE / name)}
    drawn = "pyg_hag.drawing"  # pictures of a HAG, for which nothing is compiled
    files = {FILES[name] for name in compiled if not name.startswith(drawn)}
    assert {f for f in files - stamped if f.name != "__init__.py"} == set()


def test_each_program_has_a_file_of_its_own():
    """Or two processes that compile two programs would write both to one file."""
    flags = [False] * 7
    programs = [Reduction((name,), "float32", *flags) for name in ("sum", "max")]
    files = [entry_of(program)._cache._cache_file for program in programs]
    assert len({file._index_name for file in files}) == 2
    assert len({file._data_name(1) for file in files}) == 2


def _compile_one(dtype, path, others):
    """Compiles a function for one dtype as soon as all processes are here."""
    os.environ["NUMBA_CACHE_DIR"] = path
    numba.config.CACHE_DIR = path
    function = jit_module.jit(_increased)
    others.wait(60)
    function(np.ones(3, dtype))


def _increased(x):
    return x + 1


@pytest.mark.alone
def test_processes_that_compile_signatures_at_once(tmp_path, monkeypatch):
    dtypes = ["float32", "float64", "int32", "int64"]
    context = multiprocessing.get_context("fork")
    others = context.Barrier(len(dtypes))
    processes = [
        context.Process(target=_compile_one, args=(dtype, str(tmp_path), others))
        for dtype in dtypes
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len([*tmp_path.rglob("*.nbc")]) == len(dtypes)


def test_one_process_at_a_time_writes_to_a_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    inside, leave = context.Event(), context.Event()

    def stay():
        with code_cache.locked_folder(str(tmp_path)):
            inside.set()
            leave.wait(60)

    process = context.Process(target=stay)
    process.start()
    assert inside.wait(60)
    place = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    leave.set()
    process.join()
    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(place)
    with code_cache.locked_folder(str(tmp_path / "missing")):
        pass


def test_other_packages_are_left_alone():
    def function(x):
        return x + 1

    other = numba.njit(cache=True)(function)
    assert other(1) == 2
    locator = other._cache._impl.locator
    assert locator.get_source_stamp() != code_cache.PackageLocator.stamp


def test_compiles_without_a_folder_to_write_to(monkeypatch):
    def nowhere(function, path):
        return None

    for locator in code_cache.caching.CompileResultCacheImpl._locator_classes:
        monkeypatch.setattr(locator, "from_function", nowhere)
    code_cache._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as caught:
        twice, thrice = jit_module.jit(lambda x: 2 * x), jit_module.jit(lambda x: 3 * x)
    assert len(caught) == 1
    assert (twice(21), thrice(14)) == (42, 42)
