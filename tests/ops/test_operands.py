"""Every tensor of every kernel of the CPU is checked before its address is used."""

import pytest
import torch
from graphs import fewest_hag, random_graph, signed_hag

from pyg_hag import build_hag
from pyg_hag.hag.degrees import inverse_degree, symmetric_norm
from pyg_hag.ops.cpu import backend, program, quantized
from pyg_hag.ops.cpu.operands import OPERANDS
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.ops.quantized import Epilogue, QParams, Residual

NUM_NODES, WIDTH, QPARAMS = 20, 6, QParams(0.1, 100)
EDGES = random_graph(3, NUM_NODES, NUM_NODES, 0.5)[0]
HAG = fewest_hag(EDGES, NUM_NODES)
KERNELS = BACKENDS["numba"]


def features(dtype=torch.float32):
    return torch.randn(NUM_NODES, WIDTH).to(dtype)


def rows():
    return torch.rand(NUM_NODES)


def sums(dtype, hag=HAG):
    factor = torch.float64 if dtype == torch.float64 else torch.float32
    scales = [rows().to(factor) for _ in range(3)]
    KERNELS.aggregate_sum(features(dtype), *scales, hag)


def max_gradient(minimum):
    x, grad = features(), features()
    out = KERNELS.aggregate_max(x, HAG, minimum)
    KERNELS.aggregate_max_backward(grad, x, out, HAG, minimum)


def many():
    norm = symmetric_norm(HAG, torch.float32)
    names = "sum", "mean", "std", "symnorm", "max"
    KERNELS.aggregate_many(
        features(), inverse_degree(HAG, torch.float32), norm, HAG, names
    )


def weighted():
    plain = build_hag(EDGES, num_nodes=NUM_NODES, capacity=0)
    backend.aggregate_weighted(features(), torch.rand(EDGES.size(1)), plain)


def integers(reduce, qmax=255, out_qparams=None, hag=HAG):
    qparams = QPARAMS._replace(qmax=qmax, zero_point=qmax // 2)
    x, residual = torch.randint(0, qmax + 1, (2, NUM_NODES, WIDTH), dtype=torch.uint8)
    epilogue = Epilogue(
        rows(),
        torch.rand(WIDTH),
        torch.rand(WIDTH),
        Residual(residual, 0.1, 3),
        torch.rand(WIDTH),
        True,
        rows(),
        out_qparams,
    )
    own = torch.ones(NUM_NODES, dtype=torch.int32) if reduce == "sum" else None
    quantized.compute_aggregate(x, qparams, hag, reduce, own, epilogue)


CALLS = {
    **{
        f"sum of {name}": lambda name=name: sums(getattr(torch, name))
        for name in backend.FORMATS
    },
    "sum, signed": lambda: sums(torch.float32, signed_hag(EDGES, NUM_NODES)),
    "gradient of max": lambda: max_gradient(False),
    "gradient of min": lambda: max_gradient(True),
    "many": many,
    "weighted": weighted,
    **{f"integer {name}": lambda name=name: integers(name) for name in ("sum", "max")},
    "integer sum, quantized": lambda: integers("sum", 255, QPARAMS),
    "integer sum of nibbles": lambda: integers("sum", 15, QPARAMS),
    "quantize": lambda: quantized.compute_quantized(
        features(), QPARAMS, rows(), torch.rand(WIDTH), torch.rand(WIDTH)
    ),
}


def recorded(function, monkeypatch):
    """The calls of kernels that a function makes."""
    calls, run = [], program.run

    def record(call, *tensors):
        calls.append((call, tensors))
        return run(call, *tensors)

    for module in (backend, quantized):
        monkeypatch.setattr(module, "run", record)
    function()
    return calls


def other_dtype(x):
    return x.double() if x.dtype != torch.float64 else x.float()


def with_gaps(x):
    wide = torch.stack([x, x], -1)
    return wide[..., 0]


WRONG = {
    "dtype": (other_dtype, TypeError, "elements of torch"),
    "same size, other dtype": (
        lambda x: x.view(torch.int16 if x.element_size() == 2 else torch.int8),
        TypeError,
        "elements of torch",
    ),
    "short": (lambda x: x.flatten()[:-1], ValueError, "elements of torch"),
    "long": (lambda x: torch.cat([x, x]), ValueError, "elements of torch"),
    "gaps": (with_gaps, ValueError, "which is not contiguous"),
    "device": (lambda x: x.to("meta"), ValueError, "on meta"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kernel", CALLS)
def test_a_wrong_tensor_is_refused(kernel, wrong, monkeypatch):
    spoil, error, text = WRONG[wrong]
    calls = recorded(CALLS[kernel], monkeypatch)
    assert calls
    for call, tensors in calls:
        for i, tensor in enumerate(tensors):
            if tensor is None or tensor.numel() < 2:
                continue
            spoiled = [*tensors[:i], spoil(tensor), *tensors[i + 1 :]]
            with pytest.raises(error, match=f"'{OPERANDS[i]}' must be .*{text}"):
                program.run(call, *spoiled)


@pytest.mark.parametrize("kernel", CALLS)
def test_a_tensor_that_is_missing_or_not_read_is_refused(kernel, monkeypatch):
    for call, tensors in recorded(CALLS[kernel], monkeypatch):
        every = [*tensors, *[None] * (len(OPERANDS) - len(tensors))]
        for i, (dtype, _, _, required) in enumerate(call.operands):
            changed, name = list(every), OPERANDS[i]
            if dtype is None:
                assert every[i] is None
                changed[i] = torch.ones(3)
                with pytest.raises(ValueError, match=f"'{name}' is not read"):
                    program.run(call, *changed)
            elif required:
                changed[i] = None
                with pytest.raises(ValueError, match=f"'{name}' is missing"):
                    program.run(call, *changed)


def test_the_tests_reach_every_operand(monkeypatch):
    read = {
        name
        for function in CALLS.values()
        for _, tensors in recorded(function, monkeypatch)
        for name, tensor in zip(OPERANDS, tensors, strict=False)
        if tensor is not None
    }
    assert read == {*OPERANDS}


def test_results_without_rows_or_columns():
    for num_dst, width in ((0, 3), (4, 0)):
        hag = build_hag(torch.zeros(2, 0, dtype=torch.long), size=(4, num_dst))
        x = torch.ones(4, width)
        assert KERNELS.aggregate_sum(x, None, None, None, hag).shape == (num_dst, width)
        out = quantized.compute_aggregate(
            x.byte(), QPARAMS, hag, "sum", None, Epilogue()
        )
        assert out.shape == (num_dst, width)
