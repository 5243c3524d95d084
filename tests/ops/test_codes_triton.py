"""The kernels on codes of CUDA have the bits of those of the CPU."""

import pytest
import torch
from contract import ACCELERATOR, GRAPHS, SQUARE, runs_triton
from graphs import fewest_hag, signed_hag
from test_codes import each_most, epilogues
from torch.utils._pytree import tree_map
from torch_geometric import nn as pyg

from pyg_hag import build_hag
from pyg_hag.ops import _codes_compute
from pyg_hag.ops import _codes_triton as there
from pyg_hag.ops.codes import (
    Epilogue,
    Rest,
    Scale,
    aggregate_codes,
    linear_codes,
    round_to_codes,
)
from pyg_hag.quantization import calibrate, convert

pytestmark = [pytest.mark.triton, runs_triton]


def moved(*values):
    """The values, where the kernels run."""
    return tree_map(
        lambda v: v.to(ACCELERATOR) if isinstance(v, torch.Tensor) else v, values
    )


def assert_same_bits(got, wanted):
    assert got.dtype == wanted.dtype and torch.equal(got.cpu(), wanted)


@each_most
@pytest.mark.parametrize("reduce", ["sum", "max", "min"])
@pytest.mark.parametrize("name", GRAPHS)
def test_reductions(name, reduce, most):
    edge_index, size = GRAPHS[name]
    of, own = Scale(0.05, most // 3, most), None
    hags = [
        build_hag(edge_index, size=size, capacity=0),
        fewest_hag(edge_index, size=size),
    ]
    if reduce == "sum" and name in SQUARE:
        own = torch.randint(-1, 3, (size[1],), dtype=torch.int32)
        hags.append(signed_hag(edge_index, size[0]))
    x = torch.randint(most + 1, (size[0], 34), dtype=torch.uint8)
    for after in epilogues(size[1], 34):
        wanted = aggregate_codes(x, of, hags[0], reduce, own, after)
        for hag in hags:
            codes, count, end = moved(x, own, after)
            args = codes, of, hag.to(ACCELERATOR), reduce, count, end
            assert_same_bits(there.compute_reduction(*args), wanted)


def test_sums_beyond_32_bits(monkeypatch):
    edge_index, size = GRAPHS["dense"]
    hag, of = fewest_hag(edge_index, size=size), Scale(0.01, 7)
    x = torch.randint(256, (size[0], 20), dtype=torch.uint8)
    wanted = aggregate_codes(x, of, hag)
    monkeypatch.setattr(there, "accumulator", lambda most, largest: 64)
    args = *moved(x, of), hag.to(ACCELERATOR), "sum"
    assert_same_bits(there.compute_reduction(*args, None, epilogues(1, 1)[0]), wanted)


@each_most
@pytest.mark.parametrize("shape", [(1, 1), (50, 30), (33, 300)])
def test_rounding(shape, most):
    x, to = torch.randn(shape) * 9, Scale(0.11, most // 3, most)
    x.view(-1)[:1] = torch.nan
    x.view(-1)[1:7:2] = torch.inf
    x.view(-1)[2:7:2] = -torch.inf
    factor, gain, bias = torch.randn(shape[0]), *torch.randn(2, shape[1])
    for args in ((None, None, None), (factor, gain, bias)):
        wanted = round_to_codes(x, to, *args)
        assert_same_bits(there.compute_codes(*moved(x, to, *args)), wanted)
    halves = torch.arange(-20, 20).float()[:, None] * 0.5
    wanted = round_to_codes(halves, Scale(1.0, 5, most))
    got = there.compute_codes(*moved(halves, Scale(1.0, 5, most), None, None, None))
    assert_same_bits(got, wanted)


@each_most
@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 5, 3), (40, 64, 33), (130, 200, 65)])
def test_products(shape, most):
    rows, inner, outer = shape
    of, to = Scale(0.02, most // 3, most), Scale(0.41, 4, most)
    x = torch.randint(most + 1, (rows, inner), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (outer, inner), dtype=torch.int8)
    scale, bias = torch.rand(outer) * 0.1, torch.randn(outer)
    rest = Rest(torch.randint(256, (rows, outer), dtype=torch.uint8), 0.1, 20)
    for relu in (False, True):
        for known in ((None, None), (bias, None), (None, rest), (bias, rest)):
            for end in (None, to):
                after = known[0], relu, known[1], end
                wanted = linear_codes(x, of, weight, scale, *after)
                args = moved(x, of.zero, weight, scale * of.scale, *after)
                assert_same_bits(there.compute_product(*args), wanted)


@pytest.mark.parametrize("model", [pyg.GCN, pyg.GraphSAGE, pyg.GIN])
def test_models(monkeypatch, model):
    edge_index, (n, _) = GRAPHS["near-cliques"]
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 12)
    quantized = calibrate(model(12, 20, 2, 5, norm="batch_norm"), [(x, hag)])
    fast = convert(quantized, (x, hag))
    wanted = fast(x, hag)
    if ACCELERATOR == "cpu":  # where the device does not say what runs
        for name in ("_codes_native", "_products"):
            monkeypatch.setattr(_codes_compute, name, there)
        fast = convert(quantized, (x, hag))
    assert_same_bits(fast.to(ACCELERATOR)(*moved(x), hag.to(ACCELERATOR)), wanted)


def test_kernels_start_where_their_codes_are(monkeypatch):
    """Also where another device is the current one."""
    seen, hag = [], fewest_hag(*GRAPHS["dense"][:1], 40)
    entered = torch.cuda.device_of
    monkeypatch.setattr(torch.cuda, "device_of", lambda x: seen.append(x) or entered(x))
    x, weight, scale = moved(
        torch.rand(40, 3), torch.ones(5, 3, dtype=torch.int8), torch.ones(5)
    )
    codes = there.compute_codes(x, Scale(0.1, 3), None, None, None)
    hag, end = hag.to(ACCELERATOR), Epilogue()
    there.compute_product(codes, 3, weight, scale, None, False, None, None)
    there.compute_reduction(codes, Scale(0.1, 3), hag, "sum", None, end)
    assert [t.dtype for t in seen[:2]] == [torch.float32, torch.uint8]
    assert len(seen) >= 3
