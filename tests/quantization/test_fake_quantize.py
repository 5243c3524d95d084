import copy

import numpy as np
import pytest
import torch

from pyg_hag.quantization import DegreeQuantConfig, FakeQuantize, Protection
from pyg_hag.quantization.random import random_bits
from pyg_hag.quantization.random.random_bits import bits, uniform
from pyg_hag.quantization.random.sampling import sample

FIRST = [
    [3843813214554478215, 4946748526750382790, 7224831202040718948],
    [6813481393550808526, 7437944046743708686, 3816292642170318306],
    [7834670200484438109, 5871224366062628720, 459521034537495439],
]
"""SplitMix64 of seeds 0, -7 and 2**40 and step 5, by Python's whole numbers."""


def fake_quantized(x, low, high, qmin, qmax):
    """A fake-quantized value in double precision."""
    scale = (high - low) / (qmax - qmin)
    zero_point = round(qmin - low / scale)
    value = max(qmin, min(qmax, round(x / scale) + zero_point))
    return (value - zero_point) * scale


@pytest.mark.parametrize("num_bits", [8, 4])
def test_activations(num_bits):
    module = FakeQuantize(DegreeQuantConfig(bits=num_bits, ranges="minmax"))
    x = torch.cat([torch.rand(2000) * 4 - 1, torch.tensor([-1.0, 3.0])])
    out = module(x)
    wanted = [fake_quantized(v, -1.0, 3.0, 0, 2**num_bits - 1) for v in x.tolist()]
    torch.testing.assert_close(out, torch.tensor(wanted))
    assert out.unique().numel() == 2**num_bits
    assert module(torch.zeros(3)).tolist() == [0, 0, 0]  # exactly


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("num_bits", [8, 4])
def test_weights(num_bits, per_channel):
    config = DegreeQuantConfig(bits=num_bits, per_channel=per_channel)
    module = FakeQuantize(config, num_channels=3)
    x = torch.randn(3, 5) * torch.tensor([[1.0], [10.0], [0.0]])
    out, qmax = module(x), 2 ** (num_bits - 1) - 1
    for row, got in zip(x, out, strict=True):
        limit = float((row if per_channel else x).abs().max())
        wanted = [
            fake_quantized(v, -limit, limit, -qmax, qmax) if limit else 0.0
            for v in row.tolist()
        ]
        torch.testing.assert_close(got, torch.tensor(wanted))
    assert module.low.shape == ((3,) if per_channel else (1,))
    x = x / 2  # ranges of weights are those of now
    assert module(x).abs().max() <= x.abs().max() * (1 + 1e-6)


def test_ranges_contain_zero():
    for ranges in ("minmax", "ema", "percentile"):
        module = FakeQuantize(DegreeQuantConfig(ranges=ranges))
        module(torch.rand(1000) + 5)
        assert module.low == 0 and module.high > 5
        module = FakeQuantize(DegreeQuantConfig(ranges=ranges))
        module(-torch.rand(1000) - 5)
        assert module.high == 0 and module.low < -5


def test_ranges_over_batches():
    batches = [torch.tensor([-1.0, 2.0]), torch.tensor([-3.0, 1.0])]
    ends = {
        "minmax": (-3.0, 2.0),
        "ema": (-1.0 * 0.9 - 3 * 0.1, 2 * 0.9 + 0.1),
        "percentile": (-3.0, 2.0),
    }
    for ranges, (low, high) in ends.items():
        options = {"momentum": 0.1} if ranges == "ema" else {}
        module = FakeQuantize(DegreeQuantConfig(ranges=ranges, **options))
        for batch in batches:
            module(batch)
        assert (float(module.low), float(module.high)) == pytest.approx((low, high))
        module.eval()
        module(torch.tensor([-100.0, 100.0]))  # which observes nothing
        assert float(module.low) == pytest.approx(low)


def test_percentiles_cut_off_the_ends():
    x = torch.arange(1001.0)[torch.randperm(1001)] - 500
    module = FakeQuantize(DegreeQuantConfig(percentile=1.0))
    out = module(x)
    assert (float(module.low), float(module.high)) == (-490, 490)
    assert out.abs().max() <= 492  # but for the place of the zero


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
def test_protected_nodes_pass_and_are_not_observed(ranges):
    module = FakeQuantize(DegreeQuantConfig(ranges=ranges, percentile=None))
    x = torch.randn(50, 4)
    protected = torch.arange(50) % 5 == 0
    x[protected] *= 1000
    out = module(x, protected)
    assert torch.equal(out[protected], x[protected])
    assert module.high - module.low < 20
    alone = FakeQuantize(DegreeQuantConfig(ranges=ranges))
    assert torch.equal(alone(x[~protected]), out[~protected])
    assert torch.equal(alone.low, module.low)
    module.eval()  # where nobody is
    assert torch.equal(module(x, protected), module(x))
    assert not torch.equal(module(x)[protected], x[protected])


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
def test_nothing_but_protected_nodes(ranges):
    module = FakeQuantize(DegreeQuantConfig(ranges=ranges))
    x = torch.randn(5, 3)
    assert torch.equal(module(x, torch.ones(5, dtype=torch.bool)), x)
    assert module.low == module.high == 0
    assert module(torch.empty(0, 3)).shape == (0, 3)


def test_zeros_do_not_count_for_percentiles():
    """As in a bag of words."""
    x = torch.zeros(1000, 100)
    x[:, 0] = torch.linspace(0.001, 1.0, 1000)
    module = FakeQuantize(DegreeQuantConfig(percentile=1.0, max_samples=None))
    module(x)
    torch.testing.assert_close(module.high, torch.tensor([0.99]))
    assert module.low == 0
    module = FakeQuantize(DegreeQuantConfig(percentile=1.0))
    module(torch.zeros(10, 10))
    assert module.low == module.high == 0


def test_percentiles_of_samples():
    config = DegreeQuantConfig(percentile=5.0, max_samples=2000)
    module, x = FakeQuantize(config), torch.rand(100_000)
    module(x)
    assert float(module.high) == pytest.approx(0.95, abs=0.02)
    other = FakeQuantize(config)
    torch.manual_seed(5)  # which samples do not depend on
    other(x)
    assert torch.equal(other.high, module.high)
    protected = torch.arange(100_000) % 2 == 0
    x[protected] = 50
    other = FakeQuantize(config)
    other(x, protected)
    assert float(other.high) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("gradient", ["straight_through", "clipped"])
def test_gradients(gradient):
    config = DegreeQuantConfig(ranges="minmax", gradient=gradient)
    module = FakeQuantize(config)
    module(torch.tensor([-128.0, 127.0]))  # one quantized value for each whole number
    module.eval()
    x = torch.tensor([-300.0, -128, -50, 0, 50, 127, 300], requires_grad=True)
    module(x).backward(torch.full((7,), 2.0))
    inside = [0, 0, 1, 1, 1, 0, 0] if gradient == "clipped" else [1] * 7
    assert x.grad.tolist() == [2.0 * v for v in inside]


def test_gradients_of_protected_nodes():
    module = FakeQuantize(DegreeQuantConfig(ranges="minmax"))
    x = torch.tensor([[-128.0], [127.0], [900.0]], requires_grad=True)
    module(x, torch.tensor([False, False, True])).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1]


def test_needs_observations():
    module = FakeQuantize(DegreeQuantConfig()).eval()
    with pytest.raises(
        RuntimeError, match=r"not observed any values yet: train the .*, or"
    ):
        module(torch.zeros(3))
    trained = FakeQuantize(DegreeQuantConfig())
    trained(torch.randn(10))
    module.load_state_dict(trained.state_dict())
    x = torch.randn(20)
    assert torch.equal(module(x), trained.eval()(x))
    module.load_state_dict(FakeQuantize(DegreeQuantConfig()).state_dict())
    with pytest.raises(RuntimeError, match="not observed any values yet"):
        module(x)


def test_protection():
    draw, p = Protection(3), torch.linspace(0, 1, 5).repeat_interleave(40_000)
    shares = [draw(p).view(5, -1).float().mean(1) for _ in range(2)]
    for share in shares:
        torch.testing.assert_close(share, torch.linspace(0, 1, 5), atol=0.01, rtol=0)
        assert share[0] == 0 and share[4] == 1
    assert not torch.equal(draw(p), draw(p))
    again = Protection()
    again.load_state_dict(copy.deepcopy(draw.state_dict()))
    assert torch.equal(again(p), draw(p))
    assert not torch.equal(Protection(4)(p), Protection(3)(p))


def test_random_numbers():
    zero_point = torch.tensor(0)
    u = uniform(zero_point, zero_point, 100_000)
    assert u.dtype == torch.float32 and u.min() >= 0 and u.max() < 1
    assert abs(float(u.mean()) - 0.5) < 0.01
    counts = torch.histc(u, 20, 0, 1)
    assert (counts - 5000).abs().max() < 400
    other = uniform(zero_point, zero_point + 1, 100_000)
    assert abs(float(torch.corrcoef(torch.stack([u, other]))[0, 1])) < 0.02
    late = u.roll(1)
    assert abs(float(torch.corrcoef(torch.stack([u, late]))[0, 1])) < 0.02
    assert bits(zero_point, zero_point, 1000).min() >= 0
    assert bits(zero_point, zero_point, 1000).unique().numel() == 1000
    first = [
        bits(torch.tensor(seed), zero_point + 5, 3).tolist() for seed in (0, -7, 2**40)
    ]
    assert first == FIRST


def test_random_numbers_before_they_are_compiled(monkeypatch):
    monkeypatch.setattr(random_bits, "_bits", random_bits._bits.py_func)
    with np.errstate(over="ignore"):
        found = bits(torch.tensor(-7), torch.tensor(5), 3)
    assert found.tolist() == FIRST[1]


@pytest.mark.parametrize(
    "counts", [None, [1, 1, 500], [7, 0, 9], [0, 90, 0], [1, 0, 0], [0, 0, 0]]
)
def test_samples_are_the_same_on_every_device(monkeypatch, counts):
    """That is, as the operators of PyTorch draw them."""
    rows = None if counts is None else torch.tensor(counts)
    numbers = torch.tensor(3), torch.tensor(8), 120, 3, 50, rows
    places, row = sample(*numbers)
    assert torch.equal(row, places // 50)
    assert counts is not None or places.unique().numel() == 120
    with monkeypatch.context() as patch:
        patch.setattr("torch.compiler.is_compiling", lambda: True)
        for got, wanted in zip((places, row), sample(*numbers), strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
def test_compiled_code_does_not_wait_for_the_device(ranges):
    options = {"max_samples": 100} if ranges == "percentile" else {}
    config = DegreeQuantConfig(ranges=ranges, **options)
    eager = torch.nn.ModuleDict({"draw": Protection(1), "q": FakeQuantize(config)})
    compiled = copy.deepcopy(eager)

    def step(modules, x, p):
        return modules["q"](x, modules["draw"](p))

    torch._dynamo.reset()
    run = torch.compile(
        step, backend="aot_eager", fullgraph=True
    )  # which has no place for 'item()'
    for _ in range(3):
        x, p = torch.randn(40, 8, requires_grad=True), torch.rand(40)
        results = []
        for way, modules in ((run, compiled), (step, eager)):
            out = way(modules, x, p)
            results.append((out, *torch.autograd.grad(out.square().sum(), x)))
        for got, wanted in zip(*results, strict=True):
            torch.testing.assert_close(got, wanted)
    for got, wanted in zip(compiled.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(got, wanted)


def test_repr():
    config = DegreeQuantConfig()
    assert repr(FakeQuantize(config)) == "FakeQuantize(activations, bits=8)"
    assert "weight, bits=8, channels=3" in repr(FakeQuantize(config, 3))


@pytest.mark.parametrize("max_samples", [None, 5000])
def test_percentiles_of_rows_that_count_more_often(max_samples):
    """As if each row were there so often."""
    counts = torch.randint(1, 60, (300,))
    counts[7] = 3000
    x, protected = torch.rand(300, 20) + 0.1, torch.rand(300) < 0.3
    x[7], protected[7] = 5 + x[7], False
    config = DegreeQuantConfig(percentile=5.0, max_samples=max_samples)
    for hidden in (None, protected):
        module, wanted = FakeQuantize(config), FakeQuantize(config)
        module.quantize(x, hidden, counts=counts)
        repeated = None if hidden is None else hidden.repeat_interleave(counts)
        wanted.quantize(x.repeat_interleave(counts, 0), repeated)
        tolerance = 0.0 if max_samples is None else 0.03
        torch.testing.assert_close(module.high, wanted.high, rtol=tolerance, atol=0)
        assert module.high > 5
        alone = FakeQuantize(config)
        alone.quantize(x, hidden)
        assert alone.high < 2
