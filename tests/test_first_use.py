"""Before there is machine code: the same functions as Python, the same results."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from graphs import ODD_GRAPHS, biclique, clique, edge_index_of
from torch_geometric.data import Batch, Data

from pyg_hag import HAGTransform, aggregate, build_hag
from pyg_hag.hag.arrays import FIELDS
from pyg_hag.runtime import first_use
from pyg_hag.runtime.sorting import stable_order

pytestmark = pytest.mark.filterwarnings("error")

FEWEST = {"objective": "aggregations"}
OPTIONS = [
    {},
    FEWEST,
    {**FEWEST, "subtract": True},
    {**FEWEST, "capacity": 5},
    {"method": "greedy"},
    {**FEWEST, "min_redundancy": 3},
    {"order": "sequential", "neighbor_order": "shared"},
]


def _graphs():
    random = torch.Generator().manual_seed(1)
    u, v = torch.cartesian_prod(torch.arange(60), torch.arange(60)).t()
    dense = (u * v + 7 * (u + v)) % 5 < 2
    rows = [range(k, 690 + k) for k in range(9)]
    groups = [clique(range(k * k, k * k + k + 2)) for k in range(3, 9)]
    graphs = {
        "sparse": torch.randint(300, (2, 1200), generator=random),
        "dense": torch.stack([u[dense], v[dense]]),
        "long rows": edge_index_of([(u, v) for v, row in enumerate(rows) for u in row]),
        "components": edge_index_of(sum(groups, biclique(range(100, 110), range(9)))),
    }
    odd = {
        name: graph for name, (graph, size) in ODD_GRAPHS.items() if size[0] == size[1]
    }
    return graphs | odd


GRAPHS = _graphs()


@pytest.fixture
def as_python(monkeypatch):
    """Runs jitted functions as Python from its call on."""

    class Waiting(first_use.Readiness):
        def is_ready_now(self):
            return False

    return lambda: monkeypatch.setattr(first_use, "readiness", Waiting())


def _arrays(hag):
    return {name: getattr(hag, name).tolist() for name in FIELDS}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_hags(options, name, as_python):
    edge_index = GRAPHS[name]
    compiled = build_hag(edge_index, **options)
    as_python()
    interpreted = build_hag(edge_index, **options)
    assert interpreted.stats == compiled.stats
    assert _arrays(interpreted) == _arrays(compiled)
    interpreted.validate(edge_index)
    assert _arrays(interpreted.t()) == _arrays(compiled.t())
    assert interpreted.to_edge_index().tolist() == compiled.to_edge_index().tolist()


@pytest.mark.parametrize("options", OPTIONS[1:3], ids=str)
def test_the_same_batches_and_sums(options, as_python):
    torch.manual_seed(3)
    graphs = [
        Data(
            edge_index=g, x=torch.randn(int(g.max(initial=-1)) + 1 if False else 700, 5)
        )
        for g in GRAPHS.values()
    ]

    def run():
        batch = Batch.from_data_list([*map(HAGTransform(**options), graphs)])
        x = batch.x.clone().requires_grad_()
        out = aggregate(x, batch.hag)
        out.square().sum().backward()
        return _arrays(batch.hag), out, x.grad

    arrays, out, grad = run()
    as_python()
    same, same_out, same_grad = run()
    assert same == arrays
    assert torch.equal(same_out, out)
    assert torch.equal(same_grad, grad)


@pytest.mark.parametrize("as_is", [False, True], ids=["compiled", "Python"])
def test_sorting(as_is, as_python):
    if as_is:
        as_python()
    random = np.random.default_rng(0)
    for bound in (1, 5, 2**40, 2**64):
        keys = random.integers(0, bound, 1000, np.uint64, endpoint=False)
        order = stable_order(np.arange(1000), keys)
        assert order.tolist() == np.argsort(keys, kind="stable").tolist()


class _Dispatcher:
    @staticmethod
    def py_func(x, *others):
        return "Python"

    def __call__(self, x, *others):
        return "machine code"


def test_what_runs_as_python(as_python):
    function = first_use.Jitted(_Dispatcher())
    assert function(np.zeros(10)) == "machine code"
    as_python()
    small, large = np.zeros(10), np.zeros(first_use._MAX_SIZE + 1)
    assert function(small) == function(1.5) == function((small, 3)) == "Python"
    assert function(large) == function(1, (small, (large,))) == "machine code"


USE = """
import sys, torch
from pyg_hag import build_hag
from pyg_hag.runtime import first_use
edges = torch.cartesian_prod(torch.arange(16), torch.arange(16, 32)).t()
hag = build_hag(edges, 32)
print(hag, first_use.readiness.ready)
"""


def _use(folder, **environment):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True
    )


@pytest.mark.full
def test_a_process_compiles_in_the_background(tmp_path):
    first = _use(tmp_path, PYG_HAG_COMPILE="background")
    assert "saved=88%) False" in first.stdout
    assert first.stderr.count("\n") == 1
    assert "once for this installation" in first.stderr
    assert str(tmp_path) in first.stderr
    begin = time.monotonic()
    while not [*tmp_path.glob("runtime*/complete-????????????????")]:
        assert time.monotonic() < begin + 900
        time.sleep(1)
    second = _use(tmp_path, PYG_HAG_COMPILE="background")
    assert "saved=88%) True" in second.stdout
    assert second.stderr == ""


def test_the_choice_is_checked(tmp_path):
    assert (
        "PYG_HAG_COMPILE must be one of" in _use(tmp_path, PYG_HAG_COMPILE="x").stderr
    )
