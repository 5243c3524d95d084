"""Fixtures and options of all tests."""

import os

import pytest
import torch
from torch_geometric.nn import SAGEConv

from pyg_hag.datasets import ROOT_VARIABLE, load_graphs
from pyg_hag.ops._compute import BACKENDS


def pytest_configure():
    # PyG writes a class's `propagate` for the first layer that is made. Were that one
    # with several aggregations, no SAGEConv after it would take a sparse matrix.
    SAGEConv(1, 1)


def pytest_generate_tests(metafunc):
    # A contract's class attribute is the parameter of its tests.
    for name, values in (
        ("options", "variants"),
        ("dtype", "dtypes"),
        ("reduce", "reduces"),
    ):
        if name in metafunc.fixturenames and hasattr(metafunc.cls, values):
            metafunc.parametrize(name, getattr(metafunc.cls, values), ids=str)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(12)


@pytest.fixture
def real_graph():
    """Loads a real data set, or skips the test and says why."""

    def load(name):
        root = os.environ.get(ROOT_VARIABLE)
        if root is None or not os.path.isdir(os.path.join(root, name)):
            pytest.skip(f"no '{name}' in the folder named by {ROOT_VARIABLE}")
        return load_graphs(name, root)

    return load


@pytest.fixture
def ran(monkeypatch):
    """The names of the backends that have run, in order."""
    names = []
    for name, backend in BACKENDS.items():
        for function in (
            "aggregate_sum",
            "aggregate_max",
            "aggregate_max_backward",
            "aggregate_many",
        ):
            original = getattr(backend, function)

            def spy(*args, _name=name, _original=original):
                names.append(_name)
                return _original(*args)

            monkeypatch.setattr(backend, function, spy)
    return names
