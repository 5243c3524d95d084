"""Deferred results and what may follow them, against the same on their values."""

import operator

import pytest
import torch
import torch.nn.functional as F

from pyg_hag.ops.quantized import Epilogue, QParams, Residual
from pyg_hag.quantization.int8.deferred import Deferred, apply_epilogue
from pyg_hag.quantization.int8.tensor import DeferredTensor, materialize
from pyg_hag.quantization.qat.features import as_tensor

QPARAMS = QParams(0.01, 120)


@pytest.fixture
def values():
    return torch.randn(6, 4)


def dequantize(values):
    return (values.float() - QPARAMS.zero_point) * QPARAMS.scale


def deferred_of(values):
    """A deferred result, computed as the kernels do."""

    def compute(epilogue):
        scale = epilogue.channel_scale
        out = values if scale is None else values * scale
        out = out if epilogue.bias is None else out + epilogue.bias
        return apply_epilogue(out, epilogue)

    return Deferred(compute, tuple(values.shape), values.device)


def tensor_of(values):
    """The same as code outside of layers gets it."""
    return deferred_of(values).as_tensor()


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
    deferred = function(tensor_of(values))
    assert isinstance(deferred, DeferredTensor) and deferred.deferred.value is None
    wanted = function(values)
    torch.testing.assert_close(materialize(deferred), wanted)
    for row_scale in (None, torch.rand(6) + 0.5):
        scaled = wanted if row_scale is None else wanted * row_scale.view(-1, 1)
        got = function(tensor_of(values)).deferred.quantize(QPARAMS, row_scale)
        assert got.dtype == torch.uint8
        error = (dequantize(got) - scaled.clamp(-1.2, 1.35)).abs().max()
        assert float(error) <= 0.5001 * QPARAMS.scale


OTHERS = {
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "training dropout": lambda x: F.dropout(x, 0.0, True),
    "training norm": lambda x: F.batch_norm(x, None, None, training=True),
    "training norm with statistics": lambda x: F.batch_norm(
        x, NORM[0].clone(), NORM[1].clone(), training=True
    ),
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
def test_everything_else_gets_float32(name, values):
    function = OTHERS[name]
    out = function(tensor_of(values))
    assert not isinstance(out, DeferredTensor) or out.deferred.value is not None
    torch.testing.assert_close(materialize(out), function(values))


def test_what_is_known_before_it_is_computed(values):
    x = tensor_of(values)
    assert isinstance(x, torch.Tensor) and torch.is_tensor(x)
    assert x.shape == x.size() == values.shape and x.numel() == values.numel()
    assert (x.size(0), x.size(-1), x.dim(), x.ndim) == (6, 4, 2, 2)
    assert len(x) == 6 and x.dtype == torch.float32 and x.device == values.device
    assert not x.is_cuda and not x.requires_grad and x.is_contiguous()
    assert x.stride() == values.stride() and x.layout == torch.strided
    assert x.deferred.value is None
    assert x.tolist() == values.tolist()
    assert x.deferred.value is materialize(x) and materialize(3) == 3


def residual_of(values):
    quantized = (values / 0.1).round().clamp(-50, 50) + 50
    return Residual(quantized.to(torch.uint8), 0.1, 50)


ADDED = {
    "alone": lambda x, r: x.add_residual(r),
    "relu": lambda x, r: x.add_residual(r).relu(),
    "norm": lambda x, r: norm(x.add_residual(r)),
    "after a norm": lambda x, r: norm(x).add_residual(r),
    "between norms": lambda x, r: norm(norm(x).add_residual(r)),
    "after relu": lambda x, r: x.relu().add_residual(r),
    "after relu and norm": lambda x, r: norm(x.relu()).add_residual(r),
    "twice": lambda x, r: x.add_residual(r).add_residual(r),
    "with scale": lambda x, r: x.add_residual(r, G),
    "with scale, norm": lambda x, r: norm(x.add_residual(r, G)),
    "with scale, after relu": lambda x, r: x.relu().add_residual(r, G),
}


class Plain:
    """The same on values."""

    def __init__(self, values):
        self.values = values

    def add_residual(self, residual, channel_scale=None):
        added = (residual.values.float() - residual.zero_point) * residual.scale
        return Plain(
            self.values + (added if channel_scale is None else added * channel_scale)
        )

    def relu(self):
        return Plain(self.values.relu())

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        first, *residual = args
        return Plain(function(first.values, *residual, **(kwargs or {})))


class Adding:
    """A tensor to which layers add quantized features."""

    def __init__(self, x):
        self.x = x

    def add_residual(self, residual, channel_scale=None):
        if isinstance(self.x, DeferredTensor):
            out = self.x.deferred.add_residual(residual, channel_scale)
            return Adding(as_tensor(out))
        return Adding(Plain(self.x).add_residual(residual, channel_scale).values)

    def relu(self):
        return Adding(self.x.relu())

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        first, *others = args
        return Adding(function(first.x, *others, **(kwargs or {})))


@pytest.mark.parametrize("name", ADDED)
def test_residuals(name, values):
    function, residual = ADDED[name], residual_of(torch.randn(6, 4))
    wanted = function(Plain(values), residual).values
    out = function(Adding(tensor_of(values)), residual).x
    torch.testing.assert_close(materialize(out), wanted)
    if isinstance(out, DeferredTensor):
        out = function(Adding(tensor_of(values)), residual).x
        error = dequantize(out.deferred.quantize(QPARAMS)) - wanted.clamp(-1.2, 1.35)
        assert float(error.abs().max()) <= 0.5001 * QPARAMS.scale


def test_sums_of_two_deferred_results(values):
    """They are not sums of quantized values, also where these are known."""
    other = torch.randn(6, 4)
    for order in (1, -1):
        for asked in (False, True):
            first, second = tensor_of(values).relu(), tensor_of(other)
            if asked:
                first.deferred.quantize(QParams(0.001, 0))
            out = operator.add(*(first, second)[::order])
            assert torch.equal(out, values.relu() + other)


def test_quantized_values_are_computed_once(values):
    made = []

    def compute(epilogue):
        made.append(epilogue)
        return apply_epilogue(values, epilogue)

    deferred = Deferred(compute, (6, 4), torch.device("cpu"))
    row_scale = torch.rand(6)
    for _ in range(2):
        plain = deferred.quantize(QPARAMS)
        scaled = deferred.quantize(QPARAMS, row_scale)
        deferred.quantize(QParams(0.02, 120))
    assert len(made) == 3
    assert deferred.float() is deferred.float()
    assert len(made) == 4
    assert not torch.equal(plain, scaled)
    assert made[0] == Epilogue(out_qparams=QPARAMS)
