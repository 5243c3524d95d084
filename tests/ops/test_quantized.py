"""Reductions, products and quantization, against the formulas in float64."""

import os
import subprocess
import sys

import pytest
import torch
from contract import GRAPHS, SQUARE
from graphs import fewest_hag, num_threads, signed_hag, skewed_graph

from pyg_hag import build_hag
from pyg_hag.ops import quantized as quantized_ops
from pyg_hag.ops.cpu import qlinear as onednn
from pyg_hag.ops.cpu import quantized as native
from pyg_hag.ops.library import flat
from pyg_hag.ops.quantized import (
    Epilogue,
    QParams,
    Residual,
    aggregate_quantized,
    prepack_weight,
    qlinear,
    quantize,
    quantize_linear,
)

each_qmax = pytest.mark.parametrize("qmax", [255, 15])


def reduced(x, of, edge_index, size, reduce, self_scale=None):
    """The reduction of the steps, in float64."""
    src, dst = edge_index
    steps = x.double() - of.zero_point
    out = steps.new_zeros(size[1], x.size(1))
    if reduce == "sum":
        out = out.index_add(0, dst, steps[src])
        return out if self_scale is None else out + self_scale.view(-1, 1) * steps
    index = dst.view(-1, 1).expand(-1, x.size(1))
    return out.scatter_reduce(0, index, steps[src], f"a{reduce}", include_self=False)


def finished(y, after):
    """The epilogue of a result, in float64."""
    for values in (after.dst_scale,):
        y = y if values is None else y * values.double().view(-1, 1)
    y = y if after.channel_scale is None else y * after.channel_scale
    y = y if after.bias is None else y + after.bias
    if after.residual is not None:
        residual = after.residual.scale * (
            after.residual.values.double() - after.residual.zero_point
        )
        y = y + (
            residual
            if after.residual_channel_scale is None
            else residual * after.residual_channel_scale
        )
    y = y.clamp(min=0) if after.relu else y
    if after.out_qparams is not None:
        y = y if after.next_scale is None else y * after.next_scale.view(-1, 1)
        y = (y / after.out_qparams.scale).round() + after.out_qparams.zero_point
        y = y.clamp(0, after.out_qparams.qmax)
    return y


def assert_quantized(got, wanted):
    """Equal, except for a few that lie halfway between two quantized values."""
    assert got.dtype == torch.uint8 and got.shape == wanted.shape
    differs = (got.double() - wanted).abs()
    assert float(differs.max() if differs.numel() else 0) <= 1
    assert int((differs > 0).sum()) <= 1 + differs.numel() // 1000


def epilogues(rows, columns):
    """Float32 results, quantized results, and everything at once."""
    residual = Residual(
        torch.randint(256, (rows, columns), dtype=torch.uint8), 0.02, 120
    )
    features = torch.randn(3, columns)
    some, others = torch.rand(2, rows) + 0.5
    to = QParams(0.31, 30)  # no sum is halfway between two quantized values
    every = Epilogue(some, *features[:2], residual, features[2], False, others, to)
    return [
        Epilogue(),
        Epilogue(out_qparams=to),
        Epilogue(dst_scale=some, bias=features[0], relu=True),
        every,
        every._replace(relu=True, out_qparams=QParams(1.3, 2, 15)),
    ]


@each_qmax
@pytest.mark.parametrize("reduce", ["sum", "max", "min"])
@pytest.mark.parametrize("name", GRAPHS)
def test_reductions(name, reduce, qmax):
    edge_index, size = GRAPHS[name]
    of = QParams(0.05, qmax // 3, qmax)
    hags = [
        build_hag(edge_index, size=size, capacity=0),
        fewest_hag(edge_index, size=size),
    ]
    self_scale = None
    if reduce == "sum" and size[0] == size[1]:
        self_scale = torch.randint(-2, 3, (size[1],), dtype=torch.int32)
        hags.append(signed_hag(edge_index, size[0]))
    for columns in (1, 34, 128):
        x = torch.randint(qmax + 1, (size[0], columns), dtype=torch.uint8)
        wanted = of.scale * reduced(x, of, edge_index, size, reduce, self_scale)
        for after in epilogues(size[1], columns):
            outs = [
                aggregate_quantized(x, of, hag, reduce, self_scale, after)
                for hag in hags
            ]
            exact = finished(wanted, after)
            if after.out_qparams is None:
                torch.testing.assert_close(
                    outs[0].double(), exact, rtol=1e-5, atol=1e-4
                )
            else:
                assert_quantized(outs[0], exact)
            for out in outs[1:]:
                assert torch.equal(out, outs[0])


@pytest.mark.parametrize("columns", [2, 16, 30, 64, 66, 100, 256, 257, 700])
def test_widths(columns):
    edge_index, size = GRAPHS["dense"]
    for qmax in (255, 15):
        of = QParams(0.01, 3, qmax)
        x = torch.randint(qmax + 1, (40, columns), dtype=torch.uint8)
        after = epilogues(40, columns)[-1 if qmax == 15 else 3]
        wanted = finished(0.01 * reduced(x, of, edge_index, size, "sum"), after)
        hag = fewest_hag(edge_index, 40)
        assert_quantized(aggregate_quantized(x, of, hag, epilogue=after), wanted)


@each_qmax
@pytest.mark.parametrize("columns", [64, 100, 128, 200, 512])
def test_results_past_the_caches_are_the_same(monkeypatch, columns, qmax):
    edge_index = GRAPHS["dense"][0]
    x = torch.randint(qmax + 1, (40, columns), dtype=torch.uint8)
    of = QParams(0.01, 3, qmax)
    for after in epilogues(40, columns):
        wanted = aggregate_quantized(x, of, fewest_hag(edge_index, 40), epilogue=after)
        with monkeypatch.context() as patch:
            patch.setattr("pyg_hag.ops.cpu.backend.MIN_STREAMED_BYTES", 0)
            patch.setattr("pyg_hag.runtime.memory.MIN_BYTES", 0)  # which aligns results
            hag = fewest_hag(edge_index, 40)
            assert torch.equal(aggregate_quantized(x, of, hag, epilogue=after), wanted)


def test_integers_are_as_wide_as_the_largest_degree_needs(monkeypatch):
    ends = {257: 16, 258: 32, 8_421_504: 32, 8_421_505: 64, 10**15: 64}
    for max_count, bits in ends.items():
        assert native.accumulator(max_count) == bits
        assert max_count * 255 < 2 ** (bits if bits == 16 else bits - 1)
    assert native.accumulator(4369, 15) == 16 and native.accumulator(4370, 15) == 32
    n = 400  # all values are the largest: 102,000 does not fit into 16 bits
    edge_index = torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.long)])
    hag = build_hag(edge_index, n, capacity=0)
    x = torch.full((n, 20), 255, dtype=torch.uint8)
    self_scale = torch.ones(n, dtype=torch.int32)
    for bits in (None, 32, 64):
        if bits is not None:
            monkeypatch.setattr(native, "accumulator", lambda *_, bits=bits: bits)
            hag = build_hag(edge_index, n, capacity=0)
        out = aggregate_quantized(x, QParams(1.0, 0), hag, self_scale=self_scale)
        assert torch.equal(out[0], torch.full((20,), 255.0 * (n + 1)))
        assert torch.equal(out[1:], torch.full((n - 1, 20), 255.0))


def test_scales_of_nodes_that_change():
    """On one HAG, which keeps the counts of the latest ones."""
    edge_index, size = SQUARE["near-cliques"]
    of, hag = QParams(0.1, 100), fewest_hag(edge_index, size[0])
    x = torch.randint(256, (size[0], 5), dtype=torch.uint8)
    self_scale = torch.ones(size[0], dtype=torch.int32)
    for counts in (self_scale, 2 * self_scale, self_scale, None):
        if counts is not None:
            counts.add_(1)  # in place, too
        wanted = 0.1 * reduced(x, of, edge_index, size, "sum", counts)
        got = aggregate_quantized(x, of, hag, self_scale=counts)
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", [32, 64])
@each_qmax
def test_wide_integers_of_aggregates(monkeypatch, bits, qmax):
    monkeypatch.setattr(native, "accumulator", lambda *_: bits)
    edge_index, size = GRAPHS["near-cliques"]
    of = QParams(0.02, 5, qmax)
    x = torch.randint(qmax + 1, (size[0], 70), dtype=torch.uint8)
    wanted = of.scale * reduced(x, of, edge_index, size, "sum")
    for hag in (fewest_hag(edge_index, size[0]), signed_hag(edge_index, size[0])):
        out = aggregate_quantized(x, of, hag)
        torch.testing.assert_close(out.double(), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.at_most(1)
@pytest.mark.parametrize("qmax", [255, 15])
def test_same_bits_with_any_number_of_threads(qmax):
    edge_index, size = skewed_graph(7, 4000, 60_000)
    hag = fewest_hag(edge_index, size=size)
    x = torch.randint(qmax + 1, (size[0], 64), dtype=torch.uint8)
    outs = []
    for threads in (1, 2, 3):
        with num_threads(threads):
            after = Epilogue(out_qparams=QParams(2.0, 3))
            out = aggregate_quantized(x, QParams(0.1, 9, qmax), hag, epilogue=after)
            rounded = quantize(out.float() - 100, QParams(0.5, 100))
            outs.append(torch.cat([out, rounded], 1))
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("columns", [1, 15, 16, 100, 127, 128, 129, 300])
@each_qmax
def test_quantize(columns, qmax):
    for rows in (1, 50):
        x = 3 * torch.randn(rows, columns)
        to, factor = QParams(0.05, qmax // 2, qmax), torch.rand(rows)
        channel_scale, bias = torch.randn(2, columns)
        for a, g, b in ((None, None, None), (factor, channel_scale, bias)):
            scaled = x.double() if a is None else (x * g + b).double() * a.view(-1, 1)
            wanted = (scaled / to.scale).round() + to.zero_point
            assert_quantized(quantize(x, to, a, g, b), wanted.clamp(0, qmax))


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_written_beyond_the_last_row(threads, monkeypatch):
    """Neither by the quantization nor where two values are packed into a byte."""
    monkeypatch.setattr("pyg_hag.plan.cpu.MIN_WORK", 0)
    beyond = []

    def empty(like, rows, columns):
        out = like.new_full((rows + 1, columns), 77)
        beyond.append(out[rows])
        return out[:rows]

    monkeypatch.setattr("pyg_hag.runtime.memory.empty", empty)
    edge_index, size = GRAPHS["dense"]
    hag = fewest_hag(edge_index, size=size)
    x = torch.full((size[0] + 1, 22), 5.0)[: size[0]]
    with num_threads(threads):
        values = quantize(x, QParams(1.0, 0, 15))
        aggregate_quantized(values, QParams(1.0, 0, 15), hag)
    assert len(beyond) == 3  # the values, packed, and their sums
    assert all((row == 77).all() for row in beyond)


def test_quantize_halves_and_non_finite_values():
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, torch.inf, -torch.inf, 1e30]])
    out = quantize(x, QParams(1.0, 10))
    assert out.tolist() == [[10, 12, 12, 10, 255, 0, 255]]


@pytest.mark.parametrize("columns", [1, 5, 8, 16, 33, 300, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_nan_is_refused(columns, threads):
    to = QParams(1.0, 10)
    with num_threads(threads):
        for rows in (1, 7, 500):
            places = {0, rows * columns // 2, rows * columns - 1}
            for place in places:
                x = torch.ones(rows, columns)
                quantize(x, to)
                x.view(-1)[place] = torch.nan
                with pytest.raises(ValueError, match=r"'x' has NaN.*nan_to_num"):
                    quantize(x, to)
                finite = torch.ones(rows, columns)
                for i, size in enumerate((rows, columns, columns)):
                    factors = [None, None, None]
                    factors[i] = torch.ones(size)
                    quantize(finite, to, *factors)
                    factors[i][place % size] = torch.nan
                    with pytest.raises(ValueError, match="'x' has NaN"):
                        quantize(finite, to, *factors)
        # An infinite feature times zero:
        with pytest.raises(ValueError, match="'x' has NaN"):
            quantize(torch.full((3, 5), torch.inf), to, torch.zeros(3))


def test_empty():
    hag = build_hag(torch.empty(2, 0, dtype=torch.long), size=(0, 0))
    none = torch.empty(0, 5, dtype=torch.uint8)
    assert aggregate_quantized(none, QParams(1.0, 0), hag).shape == (0, 5)
    assert quantize(torch.empty(0, 5), QParams(1.0, 0)).shape == (0, 5)
    assert quantize(torch.empty(5, 0), QParams(1.0, 0)).shape == (5, 0)
    weight = prepack_weight(torch.ones(3, 5, dtype=torch.int8))
    assert qlinear(none, QParams(1.0, 0), weight, torch.ones(3)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (40, 64, 33), (300, 130, 64)])
@each_qmax
@pytest.mark.parametrize("halved", [False, True])
def test_products(shape, qmax, halved, monkeypatch):
    if halved:  # as on processors that add pairs of products in 16 bits
        monkeypatch.setattr(onednn, "products_are_exact", lambda: False)
    rows, inner, outer = shape
    of, to = QParams(0.02, qmax // 3, qmax), QParams(0.4, 4, qmax)
    x = torch.randint(qmax + 1, (rows, inner), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (outer, inner), dtype=torch.int8)
    scale, bias = torch.rand(outer) * 0.1, torch.randn(outer)
    residual = Residual(torch.randint(256, (rows, outer), dtype=torch.uint8), 0.1, 20)
    before = residual.values.clone()
    product = (x.double() - of.zero_point) @ weight.double().t() * of.scale * scale
    for relu in (False, True):
        for other in (None, residual):
            for end in (None, to):
                after = Epilogue(bias=bias, residual=other, relu=relu, out_qparams=end)
                got = qlinear(
                    x, of, prepack_weight(weight), scale, bias, relu, other, end
                )
                wanted = finished(product, after)
                if end is None:
                    tolerance = 1e-5 * float(wanted.abs().max())
                    torch.testing.assert_close(
                        got.double(), wanted, rtol=1e-5, atol=tolerance
                    )
                else:
                    assert_quantized(got, wanted)
                same = qlinear(x, of, weight, scale, bias, relu, other, end)
                assert torch.equal(got, same)
                if other is None:  # whatever oneDNN runs on fewer rows
                    same = qlinear(
                        x[:1], of, weight, scale, bias, relu, out_qparams=end
                    )
                    assert torch.equal(got[:1], same)
    assert torch.equal(residual.values, before)


def test_large_products_go_into_memory_that_is_there(monkeypatch):
    monkeypatch.setattr("pyg_hag.runtime.memory.MIN_BYTES", 1000)
    x = torch.randint(256, (200, 30), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (40, 30), dtype=torch.int8)
    of, to, scale = QParams(0.02, 100), QParams(0.5, 90), torch.full((40,), 0.01)
    wanted = (x.double() - 100) @ weight.double().t() * 0.0002
    for _ in range(3):
        out = qlinear(x, of, weight, scale, out_qparams=to)
        assert_quantized(out, finished(wanted, Epilogue(out_qparams=to)))
        out.fill_(255)  # what the next one may find


def test_products_of_values_in_parts(monkeypatch):
    x, factor = torch.randn(50, 30), torch.rand(50)
    weight = torch.randint(-127, 128, (9, 30), dtype=torch.int8)
    of, scale, bias = QParams(0.02, 120), torch.rand(9) * 0.01, torch.randn(9)
    for to in (None, QParams(0.3, 90)):
        for a in (None, factor):
            rows = quantize(x, of, a)
            wanted = qlinear(rows, of, weight, scale, bias, True, out_qparams=to)
            for part in (1, 100, 700, 10**6):
                monkeypatch.setattr(quantized_ops, "_CHUNK_BYTES", part)
                out = quantize_linear(
                    x, of, a, prepack_weight(weight), scale, bias, True, to
                )
                assert torch.equal(out, wanted)
    assert quantize_linear(x[:0], of, None, weight, scale).shape == (0, 9)


def test_operators_that_tracers_see():
    edge_index, size = SQUARE["near-cliques"]
    hag = fewest_hag(edge_index, size[0])
    x = torch.randint(256, (size[0], 20), dtype=torch.uint8)
    of, after = QParams(0.02, 9), epilogues(size[0], 20)[3]
    self_scale = torch.ones(size[0], dtype=torch.int32)
    for reduce, own_ in (("sum", self_scale), ("max", None)):
        arguments = x, *of, *hag.handle, reduce, own_, *flat(after)
        operator = torch.ops.pyg_hag.aggregate_quantized
        torch.library.opcheck(operator, arguments, test_utils=_CHECKS)
        wanted = aggregate_quantized(x, of, hag, reduce, own_, after)
        assert torch.equal(operator(*arguments), wanted)
    weight, scale = torch.ones(7, 20, dtype=torch.int8), torch.rand(7)
    arguments = x, *of, weight, scale, None, True, None, 0.0, 0, 0.3, 2, 255
    torch.library.opcheck(torch.ops.pyg_hag.qlinear, arguments, test_utils=_CHECKS)
    arguments = torch.randn(9, 4), 0.1, 3, 255, torch.rand(9), *torch.rand(2, 4)
    torch.library.opcheck(torch.ops.pyg_hag.quantize, arguments, test_utils=_CHECKS)


_CHECKS = "test_schema", "test_faketensor"


def test_errors():
    edge_index, size = GRAPHS["dense"]
    hag = fewest_hag(edge_index, size=size)
    x = torch.zeros(40, 8, dtype=torch.uint8)
    with pytest.raises(
        TypeError, match=r"'x' must have dtype torch\.uint8 \(got torch"
    ):
        aggregate_quantized(x.float(), QParams(1.0, 0), hag)
    with pytest.raises(ValueError, match="'reduce' must be one of"):
        aggregate_quantized(x, QParams(1.0, 0), hag, "mean")
    with pytest.raises(ValueError, match=r"'x' must have shape \[40, F\]"):
        aggregate_quantized(x[1:], QParams(1.0, 0), hag)
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, F\] in INT8"):
        quantize(torch.randn(2, 3, 4), QParams(1.0, 0))
    weight = torch.ones(3, 8, dtype=torch.int8)
    with pytest.raises(TypeError, match=r"'x' must have dtype torch\.uint8"):
        qlinear(x.to(torch.int8), QParams(1.0, 0), weight, torch.ones(3))


_PRODUCTS = """
import torch
from pyg_hag.ops.quantized import QParams, Residual, prepack_weight, qlinear
torch.set_num_threads(1)
for rows, inner, outer in ((1, 1, 1), (3, 7, 5), (100, 64, 64), (33, 1433, 7)):
    x = torch.randint(256, (rows, inner), dtype=torch.uint8)
    weight = prepack_weight(torch.ones(outer, inner, dtype=torch.int8))
    residual = Residual(torch.zeros(rows, outer, dtype=torch.uint8), 1.0, 0)
    for qmax in (255, 15):
        for other in (None, residual):
            for to in (None, QParams(0.1, 3, qmax)):
                residual_ = other if other is None else residual
                with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                    qlinear(x, QParams(1.0, 3), weight, torch.ones(outer),
                                 torch.ones(outer), True, residual_, to)
"""


@pytest.mark.full
@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"
)
def test_no_product_runs_reference_code():
    """According to the log of oneDNN: its reference code takes seconds."""
    out = subprocess.run(
        [sys.executable, "-c", _PRODUCTS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    ).stdout
    products = [line for line in out.splitlines() if ",exec," in line]
    products = [line for line in products if "matmul" in line or "inner" in line]
    assert len(products) >= 32
    assert [line for line in products if "ref" in line.split(",")[6]] == []
