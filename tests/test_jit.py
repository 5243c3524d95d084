import os

import numba
import pytest

from pyg_hag import _jit
from pyg_hag._schedule import schedule
from pyg_hag.search._search import _search


def test_cached_code_is_dated_by_the_whole_package():
    for function in (schedule, _search):
        cache = function._cache
        assert cache._impl.locator.get_source_stamp() == _jit._PackageLocator.stamp
        assert cache._cache_file._source_stamp == _jit._PackageLocator.stamp


def test_the_stamp_changes_with_any_file(monkeypatch, tmp_path):
    monkeypatch.setattr(_jit, "PACKAGE", tmp_path)
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "kernel.py"
    file.write_text("1")
    stamps = {_jit.source_stamp()}
    file.write_text("12")
    os.utime(file, ns=(0, 0))
    stamps.add(_jit.source_stamp())
    os.utime(file, ns=(0, 5))
    stamps.add(_jit.source_stamp())
    assert len(stamps) == 3


def test_other_packages_are_left_alone():
    def function(x):
        return x + 1

    other = numba.njit(cache=True)(function)
    assert other(1) == 2
    locator = other._cache._impl.locator
    assert locator.get_source_stamp() != _jit._PackageLocator.stamp


def test_compiles_without_a_folder_to_write_to(monkeypatch):
    def nowhere(function, path):
        return None

    for locator in _jit.caching.CompileResultCacheImpl._locator_classes:
        monkeypatch.setattr(locator, "from_function", nowhere)
    _jit._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as caught:
        twice, thrice = _jit.jit(lambda x: 2 * x), _jit.jit(lambda x: 3 * x)
    assert len(caught) == 1
    assert (twice(21), thrice(14)) == (42, 42)
