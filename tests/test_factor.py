import numpy as np
import pytest
import torch
from contract import GRAPHS
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hag.graph.weights import factors, factors_of


def products(edge_index, size, dtype=torch.float32, zeros=0.0):
    torch.manual_seed(0)
    a, b = (torch.rand(n, dtype=dtype) + 0.1 for n in size)
    a[torch.rand(size[0]) < zeros] = 0
    b[torch.rand(size[1]) < zeros] = 0
    return a[edge_index[0]] * b[edge_index[1]]


@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
def test_products_are_found(graph, dtype, zeros):
    edge_index, size = graph
    weight = products(edge_index, size, dtype, zeros)
    a, b, wrong = factors_of(edge_index, weight, size)
    assert not wrong and a.dtype == b.dtype == dtype
    near = 40 * torch.finfo(dtype).eps
    found = a[edge_index[0]] * b[edge_index[1]]
    torch.testing.assert_close(found, weight, rtol=near, atol=0)
    assert (b >= 0).all()
    for factor, ends, n in ((a, edge_index[0], size[0]), (b, edge_index[1], size[1])):
        alone = torch.bincount(ends, minlength=n) == 0
        assert (factor[alone] == 1).all()


def test_what_is_no_product_is_named():
    edge_index = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    weight = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert not factors_of(edge_index, weight, (2, 2))[2]
    weight[3] *= 1.00001
    wrong = factors_of(edge_index, weight, (2, 2))[2]
    assert "not the product" in wrong and "from 1 to 1, weighs 6.00006" in wrong
    for value in (torch.nan, torch.inf, 0.0):
        weight[3] = value
        assert "weighs" in factors_of(edge_index, weight, (2, 2))[2]


def test_weights_of_float32_in_float64():
    edge_index, size = GRAPHS["dense"]
    weight = products(edge_index, size).double()
    assert not factors_of(edge_index, weight, size)[2]


def test_long_cycles():
    """Where rounding errors add up along the spanning tree."""
    n = 20_001
    src = np.concatenate([np.arange(n), np.arange(n)])
    dst = np.concatenate([np.arange(n), (np.arange(n) + 1) % n])
    rng = np.random.default_rng(0)
    a, b = (rng.random(n, np.float32) + np.float32(0.1) for _ in range(2))
    weight = (a[src] * b[dst]).astype(np.float64)
    assert factors(src, dst, weight, n, n, np.finfo(np.float32).eps)[2] == -1


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12), st.data()
)
def test_small_integers(edges, data):
    """Found if and only if there are factors: every 2 by 2 minor says so."""
    edges = list(dict.fromkeys(edges))
    values = [data.draw(st.integers(1, 3)) for _ in edges]
    src = np.array([u for u, _ in edges], np.int64)
    dst = np.array([v for _, v in edges], np.int64)
    weight = np.array(values, np.float64)
    a, b, wrong = factors(src, dst, weight, 5, 5, 2.0**-52)
    if wrong < 0:
        np.testing.assert_allclose(a[src] * b[dst], weight)
        return
    # The logarithms have no solution then:
    system = np.zeros((len(edges), 10))
    system[np.arange(len(edges)), src] = 1
    system[np.arange(len(edges)), 5 + dst] = 1
    solution = np.linalg.lstsq(system, np.log(weight), rcond=None)[0]
    assert np.abs(system @ solution - np.log(weight)).max() > 1e-9
