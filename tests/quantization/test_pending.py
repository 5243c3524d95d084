"""Results that wait: what may come behind them, against the same on their values."""

import operator

import pytest
import torch
import torch.nn.functional as F

from pyg_hag.ops.codes import Epilogue, Rest, Scale
from pyg_hag.quantization._codes import Codes
from pyg_hag.quantization._pending import Pending, computed, finished

TO = Scale(0.01, 120)


@pytest.fixture
def values():
    return torch.randn(6, 4)


def pending_of(values):
    """A pending result that does what kernels do."""

    def make(after):
        out = values if after.gain is None else values * after.gain
        out = out if after.bias is None else out + after.bias
        return finished(out, after)

    return Pending(make, tuple(values.shape), values.device)


G, B = torch.tensor([2.0, -1.0, 0.5, 3.0]), torch.tensor([0.1, 0.2, -0.3, 0.4])
NORM = torch.tensor([0.3, -0.2, 0.1, 0.0]), torch.tensor([1.5, 0.5, 2.0, 1.0])


def norm(x):
    return F.batch_norm(x, *NORM, G, B)


FUSED = {
    "relu": F.relu,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "bias": lambda x: x + B,
    "bias, left": lambda x: B + x,
    "dropout": lambda x: F.dropout(x, 0.5, False),
    "norm": norm,
    "norm, relu": lambda x: norm(x).relu(),
    "norm, norm": lambda x: norm(norm(x)),
    "bias, norm": lambda x: norm(x + B),
    "norm, bias": lambda x: norm(x) + B,
    "relu, norm": lambda x: norm(x.relu()),
    "relu, norm, relu": lambda x: norm(x.relu()).relu(),
    "relu, bias": lambda x: x.relu() + B,
    "relu, relu": lambda x: x.relu().relu(),
}


@pytest.mark.parametrize("name", FUSED)
def test_what_is_fused(name, values):
    function = FUSED[name]
    pending = function(pending_of(values))
    assert isinstance(pending, Pending)
    wanted = function(values)
    torch.testing.assert_close(pending.float(), wanted)
    for factor in (None, torch.rand(6) + 0.5):
        scaled = wanted if factor is None else wanted * factor.view(-1, 1)
        got = function(pending_of(values)).codes(TO, factor)
        assert isinstance(got, Codes) and got.codes.dtype == torch.uint8
        error = (got.values() - scaled.clamp(-1.2, 1.35)).abs().max()
        assert float(error) <= 0.5001 * TO.scale


OTHERS = {
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "training dropout": lambda x: F.dropout(x, 0.0, True),
    "training norm": lambda x: F.batch_norm(x, None, None, training=True),
    "log_softmax": lambda x: x.log_softmax(-1),
    "product": lambda x: 2 * x * x,
    "difference": lambda x: 1 - x - 0.5,
    "quotient": lambda x: x / 3,
    "matrix": lambda x: x @ torch.ones(4, 2),
    "matrix, left": lambda x: torch.ones(2, 6) @ x,
    "negative": operator.neg,
    "slice": lambda x: x[:, 1:],
    "cat": lambda x: torch.cat([x, x], 1),
    "mean": lambda x: x.mean(0),
    "number": lambda x: x + 1.0,
    "matrix of numbers": lambda x: x + torch.ones(6, 4),
    "scaled sum": lambda x: torch.add(x, torch.ones(6, 4), alpha=2),
    "out": lambda x: torch.add(x, x, out=torch.empty(6, 4)),
    "view": lambda x: x.view(3, 8),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_gets_values(name, values):
    function = OTHERS[name]
    out = function(pending_of(values))
    assert isinstance(out, torch.Tensor)
    torch.testing.assert_close(out, function(values))


def test_looks_like_a_matrix(values):
    pending = pending_of(values)
    assert pending.shape == pending.size() == values.shape
    assert (pending.size(0), pending.size(-1), pending.dim()) == (6, 4, 2)
    assert len(pending) == 6 and pending.dtype == torch.float32
    assert not pending.is_cuda and not pending.requires_grad
    assert pending.tolist() == values.tolist()
    assert computed(pending) is pending.float() and computed(3) == 3
    with pytest.raises(AttributeError):
        pending.nothing  # noqa: B018


def rest_of(values):
    codes = (values / 0.1).round().clamp(-50, 50) + 50
    return Rest(codes.to(torch.uint8), 0.1, 50)


ADDED = {
    "alone": lambda x, r: x.plus(r),
    "relu": lambda x, r: x.plus(r).relu(),
    "norm": lambda x, r: norm(x.plus(r)),
    "behind a norm": lambda x, r: norm(x).plus(r),
    "between norms": lambda x, r: norm(norm(x).plus(r)),
    "behind relu": lambda x, r: x.relu().plus(r),
    "behind relu and norm": lambda x, r: norm(x.relu()).plus(r),
    "twice": lambda x, r: x.plus(r).plus(r),
    "with gain": lambda x, r: x.plus(r, G),
    "with gain, norm": lambda x, r: norm(x.plus(r, G)),
    "with gain, behind relu": lambda x, r: x.relu().plus(r, G),
}


class Plain:
    """The same on values."""

    def __init__(self, values):
        self.values = values

    def plus(self, rest, gain=None):
        added = (rest.codes.float() - rest.zero) * rest.scale
        return Plain(self.values + (added if gain is None else added * gain))

    def relu(self):
        return Plain(self.values.relu())

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        first, *rest = args
        return Plain(function(first.values, *rest, **(kwargs or {})))


@pytest.mark.parametrize("name", ADDED)
def test_codes_that_are_added(name, values):
    function, rest = ADDED[name], rest_of(torch.randn(6, 4))
    wanted = function(Plain(values), rest).values
    out = function(pending_of(values), rest)
    torch.testing.assert_close(computed(out), wanted)
    if isinstance(out, Pending):
        out = function(pending_of(values), rest)
        error = out.codes(TO).values() - wanted.clamp(-1.2, 1.35)
        assert float(error.abs().max()) <= 0.5001 * TO.scale


def test_sums_of_two_that_wait(values):
    other = torch.randn(6, 4)
    for order in (1, -1):
        for asked in (False, True):
            first, second = pending_of(values).relu(), pending_of(other)
            if asked:
                first.codes(Scale(0.001, 0))
            out = operator.add(*(first, second)[::order])
            assert isinstance(out, Pending) == asked
            wanted = values.relu() + other
            if asked:
                wanted = values.relu().clamp(max=0.255) + other
            torch.testing.assert_close(computed(out), wanted, rtol=0, atol=0.0006)
    # What has a factor for each row is not what is added:
    first, second = pending_of(values).relu(), pending_of(other)
    first.codes(TO, torch.rand(6))
    assert not isinstance(first + second, Pending)


def test_codes_are_computed_once(values):
    made = []

    def make(after):
        made.append(after)
        return finished(values, after)

    pending, factor = Pending(make, (6, 4), torch.device("cpu")), torch.rand(6)
    for _ in range(2):
        plain, scaled = pending.codes(TO), pending.codes(TO, factor)
        pending.codes(Scale(0.02, 120))
        pending.float()
    assert len(made) == 4
    assert not torch.equal(plain.codes, scaled.codes)
    assert made[0] == Epilogue(to=TO)
