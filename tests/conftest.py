"""Fixtures and options of all tests."""

import os

import pytest
import torch
from tiers import applies, sample
from torch_geometric import nn

from pyg_hag import to_hag
from pyg_hag.datasets import ROOT_VARIABLE, load_graphs
from pyg_hag.ops.attention import shared
from pyg_hag.ops.cpu.attention.calls import Attention
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.runtime import first_use


def pytest_addoption(parser):
    parser.addoption(
        "--full",
        action="store_true",
        help="all tests; otherwise of every cross product a sample with all pairs",
    )


def pytest_configure(config):
    os.environ["MPLBACKEND"] = "Agg"  # no windows
    first_use.mark_complete()  # nothing runs as Python, here and in other processes
    # PyG writes a class's `propagate` for the first layer that is made. Were that one
    # with several aggregations, none after it would take a sparse matrix.
    # So it does for the classes that take HAGs.
    for cls in (
        nn.SAGEConv, nn.GraphConv, nn.GCNConv, nn.ARMAConv, nn.TAGConv, nn.SGConv,
        nn.MixHopConv, nn.LEConv, nn.ClusterGCNConv, nn.GENConv, nn.GeneralConv,
        nn.MFConv, nn.EGConv, nn.GATConv, nn.GATv2Conv, nn.TransformerConv,
        nn.ResGatedGraphConv, nn.FiLMConv, nn.FeaStConv,
    ):  # fmt: skip
        to_hag(cls(8, 8))
    for layer in (nn.SimpleConv, nn.LGConv, nn.WLConvContinuous, nn.AGNNConv):
        to_hag(layer())
    nn.APPNP(1, 0.1), nn.SSGConv(8, 8, 0.1), nn.GatedGraphConv(8, 1)
    nn.GCN2Conv(8, 0.1), nn.GINConv(torch.nn.Linear(8, 8)), nn.CGConv(8)
    nn.RGCNConv(8, 8, 2), nn.FAConv(8), nn.LabelPropagation(1, 0.1)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def pytest_generate_tests(metafunc):
    # A contract's class attribute is the parameter of its tests.
    for name, values in (
        ("options", "variants"),
        ("dtype", "dtypes"),
        ("reduce", "reduces"),
        ("names", "lists"),
    ):
        if name in metafunc.fixturenames and hasattr(metafunc.cls, values):
            metafunc.parametrize(name, getattr(metafunc.cls, values), ids=str)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector, name, obj):
    made = yield
    return [*filter(applies, made)] if isinstance(made, list) else made


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        kept = sample(items)
        config.hook.pytest_deselected(items=[*{*items} - {*kept}])
        items[:] = kept
    for item in items:  # by one worker, one after the other
        if item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.xdist_group("alone"))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(12)


@pytest.fixture
def real_graph():
    """Loads a real data set."""
    return lambda name: load_graphs(name, os.environ[ROOT_VARIABLE])


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
    for function in ("sweep_forward", "sweep_backward"):
        sweep = getattr(shared, function)

        def swept(*args, _original=sweep):
            names.append("sweep")
            return _original(*args)

        monkeypatch.setattr(shared, function, swept)
    for function in ("forward", "backward"):
        method = getattr(Attention, function)

        def fused(*args, _original=method, **options):
            names.append("numba")
            return _original(*args, **options)

        monkeypatch.setattr(Attention, function, fused)
    return names
