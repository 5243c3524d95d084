"""The quantized kernels of CUDA give the same bits as those of the CPU."""

import pytest
import torch
from contract import ACCELERATOR, GRAPHS, SQUARE, runs_triton
from graphs import fewest_hag, signed_hag
from test_quantized import each_qmax, epilogues
from torch.utils._pytree import tree_map
from torch_geometric import nn as pyg

from pyg_hag import build_hag
from pyg_hag.ops import quantized_launch
from pyg_hag.ops.quantized import (
    Epilogue,
    QParams,
    Residual,
    aggregate_quantized,
    qlinear,
    quantize,
)
from pyg_hag.ops.triton import quantized as there
from pyg_hag.quantization import calibrate, convert

pytestmark = [pytest.mark.triton, runs_triton]


def moved(*values):
    """The values, where the kernels run."""
    return tree_map(
        lambda v: v.to(ACCELERATOR) if isinstance(v, torch.Tensor) else v, values
    )


def assert_same_bits(got, wanted):
    assert got.dtype == wanted.dtype and torch.equal(got.cpu(), wanted)


@each_qmax
@pytest.mark.parametrize("reduce", ["sum", "max", "min"])
@pytest.mark.parametrize("name", GRAPHS)
def test_reductions(name, reduce, qmax):
    edge_index, size = GRAPHS[name]
    of, self_scale = QParams(0.05, qmax // 3, qmax), None
    hags = [
        build_hag(edge_index, size=size, capacity=0),
        fewest_hag(edge_index, size=size),
    ]
    if reduce == "sum" and name in SQUARE:
        self_scale = torch.randint(-1, 3, (size[1],), dtype=torch.int32)
        hags.append(signed_hag(edge_index, size[0]))
    x = torch.randint(qmax + 1, (size[0], 34), dtype=torch.uint8)
    for after in epilogues(size[1], 34):
        wanted = aggregate_quantized(x, of, hags[0], reduce, self_scale, after)
        for hag in hags:
            quantized, count, end = moved(x, self_scale, after)
            args = quantized, of, hag.to(ACCELERATOR), reduce, count, end
            assert_same_bits(there.compute_aggregate(*args), wanted)


def test_sums_beyond_32_bits(monkeypatch):
    edge_index, size = GRAPHS["dense"]
    hag, of = fewest_hag(edge_index, size=size), QParams(0.01, 7)
    x = torch.randint(256, (size[0], 20), dtype=torch.uint8)
    wanted = aggregate_quantized(x, of, hag)
    monkeypatch.setattr(there, "accumulator", lambda max_count, qmax: 64)
    args = *moved(x, of), hag.to(ACCELERATOR), "sum"
    assert_same_bits(there.compute_aggregate(*args, None, epilogues(1, 1)[0]), wanted)


@each_qmax
@pytest.mark.parametrize("shape", [(1, 1), (50, 30), (33, 300)])
def test_quantize(shape, qmax):
    x, to = torch.randn(shape) * 9, QParams(0.11, qmax // 3, qmax)
    x.view(-1)[1:7:2] = torch.inf
    x.view(-1)[2:7:2] = -torch.inf
    factor, channel_scale, bias = torch.randn(shape[0]), *torch.randn(2, shape[1])
    for args in ((None, None, None), (factor, channel_scale, bias)):
        wanted = quantize(x, to, *args)
        assert_same_bits(there.compute_quantized(*moved(x, to, *args)), wanted)
    halves = torch.arange(-20, 20).float()[:, None] * 0.5
    wanted = quantize(halves, QParams(1.0, 5, qmax))
    got = there.compute_quantized(
        *moved(halves, QParams(1.0, 5, qmax), None, None, None)
    )
    assert_same_bits(got, wanted)
    x.view(-1)[-1:] = torch.nan
    with pytest.raises(ValueError, match="'x' has NaN"):
        there.compute_quantized(*moved(x, to, None, None, None))


@each_qmax
@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 5, 3), (40, 64, 33), (130, 200, 65)])
def test_products(shape, qmax):
    rows, inner, outer = shape
    of, to = QParams(0.02, qmax // 3, qmax), QParams(0.41, 4, qmax)
    x = torch.randint(qmax + 1, (rows, inner), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (outer, inner), dtype=torch.int8)
    scale, bias = torch.rand(outer) * 0.1, torch.randn(outer)
    residual = Residual(torch.randint(256, (rows, outer), dtype=torch.uint8), 0.1, 20)
    for relu in (False, True):
        for known in ((None, None), (bias, None), (None, residual), (bias, residual)):
            for end in (None, to):
                after = known[0], relu, known[1], end
                wanted = qlinear(x, of, weight, scale, *after)
                args = moved(x, of.zero_point, weight, scale * of.scale, *after)
                assert_same_bits(there.compute_linear(*args), wanted)


@pytest.mark.parametrize("model", [pyg.GCN, pyg.GraphSAGE, pyg.GIN])
def test_models(monkeypatch, model):
    edge_index, (n, _) = GRAPHS["near-cliques"]
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 12)
    quantized = calibrate(model(12, 20, 2, 5, norm="batch_norm"), [(x, hag)])
    fast = convert(quantized, (x, hag))
    wanted = fast(x, hag)
    if ACCELERATOR == "cpu":  # whose tensors would go to the native kernels
        for name in ("cpu", "onednn"):
            monkeypatch.setattr(quantized_launch, name, there)
        fast = convert(quantized, (x, hag))
    assert_same_bits(fast.to(ACCELERATOR)(*moved(x), hag.to(ACCELERATOR)), wanted)


def test_kernels_start_on_the_device_of_x(monkeypatch):
    """Even if another device is the current one."""
    seen, hag = [], fewest_hag(*GRAPHS["dense"][:1], 40)
    entered = torch.cuda.device_of
    monkeypatch.setattr(torch.cuda, "device_of", lambda x: seen.append(x) or entered(x))
    x, weight, scale = moved(
        torch.rand(40, 3), torch.ones(5, 3, dtype=torch.int8), torch.ones(5)
    )
    quantized = there.compute_quantized(x, QParams(0.1, 3), None, None, None)
    hag, end = hag.to(ACCELERATOR), Epilogue()
    there.compute_linear(quantized, 3, weight, scale, None, False, None, None)
    there.compute_aggregate(quantized, QParams(0.1, 3), hag, "sum", None, end)
    assert [t.dtype for t in seen[:2]] == [torch.float32, torch.uint8]
    assert len(seen) >= 3
