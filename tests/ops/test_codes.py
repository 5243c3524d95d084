"""Sums of codes, products of codes and rounding, against the formulas in float64."""

import os
import subprocess
import sys

import pytest
import torch
from contract import GRAPHS, SQUARE
from graphs import fewest_hag, num_threads, signed_hag, skewed_graph

from pyg_hag import build_hag
from pyg_hag.ops import _codes_native as native
from pyg_hag.ops import codes
from pyg_hag.ops._codes_library import flat
from pyg_hag.ops.codes import (
    Epilogue,
    Rest,
    Scale,
    aggregate_codes,
    linear_codes,
    linear_rounded,
    packed,
    round_to_codes,
)

each_most = pytest.mark.parametrize("most", [255, 15])


def reduced(x, of, edge_index, size, reduce, own=None):
    """What is reduced, in float64."""
    src, dst = edge_index
    steps = x.double() - of.zero
    out = steps.new_zeros(size[1], x.size(1))
    if reduce == "sum":
        out = out.index_add(0, dst, steps[src])
        return out if own is None else out + own.view(-1, 1) * steps
    index = dst.view(-1, 1).expand(-1, x.size(1))
    return out.scatter_reduce(0, index, steps[src], f"a{reduce}", include_self=False)


def finished(y, after):
    """What becomes of it, in float64."""
    for values in (after.dst_scale,):
        y = y if values is None else y * values.double().view(-1, 1)
    y = y if after.gain is None else y * after.gain
    y = y if after.bias is None else y + after.bias
    if after.rest is not None:
        rest = after.rest.scale * (after.rest.codes.double() - after.rest.zero)
        y = y + (rest if after.rest_gain is None else rest * after.rest_gain)
    y = y.clamp(min=0) if after.relu else y
    if after.to is not None:
        y = y if after.next_scale is None else y * after.next_scale.view(-1, 1)
        y = (y / after.to.scale).round() + after.to.zero
        y = y.clamp(0, after.to.most)
    return y


def assert_codes(got, wanted):
    """Equal, but for a few that lie between two codes."""
    assert got.dtype == torch.uint8 and got.shape == wanted.shape
    differs = (got.double() - wanted).abs()
    assert float(differs.max() if differs.numel() else 0) <= 1
    assert int((differs > 0).sum()) <= 1 + differs.numel() // 1000


def epilogues(rows, columns):
    """Float32, codes, and everything at once."""
    rest = Rest(torch.randint(256, (rows, columns), dtype=torch.uint8), 0.02, 120)
    features = torch.randn(3, columns)
    some, others = torch.rand(2, rows) + 0.5
    to = Scale(0.31, 30)  # of which no sum is exactly between two codes
    every = Epilogue(some, *features[:2], rest, features[2], False, others, to)
    return [
        Epilogue(),
        Epilogue(to=to),
        Epilogue(dst_scale=some, bias=features[0], relu=True),
        every,
        every._replace(relu=True, to=Scale(1.3, 2, 15)),
    ]


@each_most
@pytest.mark.parametrize("reduce", ["sum", "max", "min"])
@pytest.mark.parametrize("name", GRAPHS)
def test_reductions(name, reduce, most):
    edge_index, size = GRAPHS[name]
    of = Scale(0.05, most // 3, most)
    hags = [
        build_hag(edge_index, size=size, capacity=0),
        fewest_hag(edge_index, size=size),
    ]
    own = None
    if reduce == "sum" and size[0] == size[1]:
        own = torch.randint(-2, 3, (size[1],), dtype=torch.int32)
        hags.append(signed_hag(edge_index, size[0]))
    for columns in (1, 34, 128):
        x = torch.randint(most + 1, (size[0], columns), dtype=torch.uint8)
        wanted = of.scale * reduced(x, of, edge_index, size, reduce, own)
        for after in epilogues(size[1], columns):
            outs = [aggregate_codes(x, of, hag, reduce, own, after) for hag in hags]
            exact = finished(wanted, after)
            if after.to is None:
                torch.testing.assert_close(
                    outs[0].double(), exact, rtol=1e-5, atol=1e-4
                )
            else:
                assert_codes(outs[0], exact)
            for out in outs[1:]:
                assert torch.equal(out, outs[0])


@pytest.mark.parametrize("columns", [2, 16, 30, 64, 66, 100, 256, 257, 700])
def test_widths(columns):
    edge_index, size = GRAPHS["dense"]
    for most in (255, 15):
        of = Scale(0.01, 3, most)
        x = torch.randint(most + 1, (40, columns), dtype=torch.uint8)
        after = epilogues(40, columns)[-1 if most == 15 else 3]
        wanted = finished(0.01 * reduced(x, of, edge_index, size, "sum"), after)
        hag = fewest_hag(edge_index, 40)
        assert_codes(aggregate_codes(x, of, hag, epilogue=after), wanted)


@each_most
@pytest.mark.parametrize("columns", [64, 100, 128, 200, 512])
def test_results_past_the_caches_are_the_same(monkeypatch, columns, most):
    edge_index = GRAPHS["dense"][0]
    x = torch.randint(most + 1, (40, columns), dtype=torch.uint8)
    of = Scale(0.01, 3, most)
    for after in epilogues(40, columns):
        wanted = aggregate_codes(x, of, fewest_hag(edge_index, 40), epilogue=after)
        with monkeypatch.context() as patch:
            patch.setattr("pyg_hag.ops._numba.FAR", 0)
            patch.setattr("pyg_hag._memory.LEAST", 0)  # which aligns results
            hag = fewest_hag(edge_index, 40)
            assert torch.equal(aggregate_codes(x, of, hag, epilogue=after), wanted)


def test_whole_numbers_are_as_wide_as_the_largest_degree_needs(monkeypatch):
    ends = {257: 16, 258: 32, 8_421_504: 32, 8_421_505: 64, 10**15: 64}
    for most, bits in ends.items():
        assert native.accumulator(most) == bits
        assert most * 255 < 2 ** (bits if bits == 16 else bits - 1)
    assert native.accumulator(4369, 15) == 16 and native.accumulator(4370, 15) == 32
    n = 400  # all codes are the largest: 102,000 does not fit into 16 bits
    edge_index = torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.long)])
    hag = build_hag(edge_index, n, capacity=0)
    x = torch.full((n, 20), 255, dtype=torch.uint8)
    own = torch.ones(n, dtype=torch.int32)
    for bits in (None, 32, 64):
        if bits is not None:
            monkeypatch.setattr(native, "accumulator", lambda *_, bits=bits: bits)
            hag = build_hag(edge_index, n, capacity=0)
        out = aggregate_codes(x, Scale(1.0, 0), hag, own=own)
        assert torch.equal(out[0], torch.full((20,), 255.0 * (n + 1)))
        assert torch.equal(out[1:], torch.full((n - 1, 20), 255.0))


def test_own_codes_that_count_differently():
    """On one HAG, which keeps how many codes there are."""
    edge_index, size = SQUARE["near-cliques"]
    of, hag = Scale(0.1, 100), fewest_hag(edge_index, size[0])
    x = torch.randint(256, (size[0], 5), dtype=torch.uint8)
    own = torch.ones(size[0], dtype=torch.int32)
    for counts in (own, 2 * own, own, None):
        if counts is not None:
            counts.add_(1)  # in place, too
        wanted = 0.1 * reduced(x, of, edge_index, size, "sum", counts)
        got = aggregate_codes(x, of, hag, own=counts)
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", [32, 64])
@each_most
def test_wide_numbers_of_aggregates(monkeypatch, bits, most):
    monkeypatch.setattr(native, "accumulator", lambda *_: bits)
    edge_index, size = GRAPHS["near-cliques"]
    of = Scale(0.02, 5, most)
    x = torch.randint(most + 1, (size[0], 70), dtype=torch.uint8)
    wanted = of.scale * reduced(x, of, edge_index, size, "sum")
    for hag in (fewest_hag(edge_index, size[0]), signed_hag(edge_index, size[0])):
        out = aggregate_codes(x, of, hag)
        torch.testing.assert_close(out.double(), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("most", [255, 15])
def test_same_bits_with_any_number_of_threads(most):
    edge_index, size = skewed_graph(7, 4000, 60_000)
    hag = fewest_hag(edge_index, size=size)
    x = torch.randint(most + 1, (size[0], 64), dtype=torch.uint8)
    outs = []
    for threads in (1, 2, 3):
        with num_threads(threads):
            after = Epilogue(to=Scale(2.0, 3))
            out = aggregate_codes(x, Scale(0.1, 9, most), hag, epilogue=after)
            rounded = round_to_codes(out.float() - 100, Scale(0.5, 100))
            outs.append(torch.cat([out, rounded], 1))
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("columns", [1, 15, 16, 100, 127, 128, 129, 300])
@each_most
def test_rounding(columns, most):
    for rows in (1, 50):
        x = 3 * torch.randn(rows, columns)
        to, factor = Scale(0.05, most // 2, most), torch.rand(rows)
        gain, bias = torch.randn(2, columns)
        for a, g, b in ((None, None, None), (factor, gain, bias)):
            scaled = x.double() if a is None else (x * g + b).double() * a.view(-1, 1)
            wanted = (scaled / to.scale).round() + to.zero
            assert_codes(round_to_codes(x, to, a, g, b), wanted.clamp(0, most))


def test_rounding_of_halves_and_of_what_is_not_finite():
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, torch.inf, -torch.inf, torch.nan, 1e30]])
    out = round_to_codes(x, Scale(1.0, 10))
    assert out.tolist() == [[10, 12, 12, 10, 255, 0, 0, 255]]


def test_empty():
    hag = build_hag(torch.empty(2, 0, dtype=torch.long), size=(0, 0))
    none = torch.empty(0, 5, dtype=torch.uint8)
    assert aggregate_codes(none, Scale(1.0, 0), hag).shape == (0, 5)
    assert round_to_codes(torch.empty(0, 5), Scale(1.0, 0)).shape == (0, 5)
    assert round_to_codes(torch.empty(5, 0), Scale(1.0, 0)).shape == (5, 0)
    weight = packed(torch.ones(3, 5, dtype=torch.int8))
    assert linear_codes(none, Scale(1.0, 0), weight, torch.ones(3)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (40, 64, 33), (300, 130, 64)])
@each_most
def test_products(shape, most):
    rows, inner, outer = shape
    of, to = Scale(0.02, most // 3, most), Scale(0.4, 4, most)
    x = torch.randint(most + 1, (rows, inner), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (outer, inner), dtype=torch.int8)
    scale, bias = torch.rand(outer) * 0.1, torch.randn(outer)
    rest = Rest(torch.randint(256, (rows, outer), dtype=torch.uint8), 0.1, 20)
    before = rest.codes.clone()
    product = (x.double() - of.zero) @ weight.double().t() * of.scale * scale
    for relu in (False, True):
        for other in (None, rest):
            for end in (None, to):
                after = Epilogue(bias=bias, rest=other, relu=relu, to=end)
                got = linear_codes(x, of, packed(weight), scale, bias, relu, other, end)
                wanted = finished(product, after)
                if end is None:
                    tolerance = 1e-5 * float(wanted.abs().max())
                    torch.testing.assert_close(
                        got.double(), wanted, rtol=1e-5, atol=tolerance
                    )
                else:
                    assert_codes(got, wanted)
                same = linear_codes(x, of, weight, scale, bias, relu, other, end)
                assert torch.equal(got, same)
                if other is None:  # whatever oneDNN runs on fewer rows
                    same = linear_codes(x[:1], of, weight, scale, bias, relu, to=end)
                    assert torch.equal(got[:1], same)
    assert torch.equal(rest.codes, before)


def test_large_products_go_into_memory_that_is_there(monkeypatch):
    monkeypatch.setattr("pyg_hag._memory.LEAST", 1000)
    x = torch.randint(256, (200, 30), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (40, 30), dtype=torch.int8)
    of, to, scale = Scale(0.02, 100), Scale(0.5, 90), torch.full((40,), 0.01)
    wanted = (x.double() - 100) @ weight.double().t() * 0.0002
    for _ in range(3):
        out = linear_codes(x, of, weight, scale, to=to)
        assert_codes(out, finished(wanted, Epilogue(to=to)))
        out.fill_(255)  # what the next one may find


def test_products_of_values_in_parts(monkeypatch):
    x, factor = torch.randn(50, 30), torch.rand(50)
    weight = torch.randint(-127, 128, (9, 30), dtype=torch.int8)
    of, scale, bias = Scale(0.02, 120), torch.rand(9) * 0.01, torch.randn(9)
    for to in (None, Scale(0.3, 90)):
        for a in (None, factor):
            rows = round_to_codes(x, of, a)
            wanted = linear_codes(rows, of, weight, scale, bias, True, to=to)
            for part in (1, 100, 700, 10**6):
                monkeypatch.setattr(codes, "_PART", part)
                out = linear_rounded(x, of, a, packed(weight), scale, bias, True, to)
                assert torch.equal(out, wanted)
    assert linear_rounded(x[:0], of, None, weight, scale).shape == (0, 9)


def test_operators_that_tracers_see():
    edge_index, size = SQUARE["near-cliques"]
    hag = fewest_hag(edge_index, size[0])
    x = torch.randint(256, (size[0], 20), dtype=torch.uint8)
    of, after = Scale(0.02, 9), epilogues(size[0], 20)[3]
    own = torch.ones(size[0], dtype=torch.int32)
    for reduce, own_ in (("sum", own), ("max", None)):
        arguments = x, *of, *hag._handle, reduce, own_, *flat(after)
        operator = torch.ops.pyg_hag.aggregate_codes
        torch.library.opcheck(operator, arguments, test_utils=_CHECKS)
        wanted = aggregate_codes(x, of, hag, reduce, own_, after)
        assert torch.equal(operator(*arguments), wanted)
    weight, scale = torch.ones(7, 20, dtype=torch.int8), torch.rand(7)
    arguments = x, *of, weight, scale, None, True, None, 0.0, 0, 0.3, 2, 255
    torch.library.opcheck(torch.ops.pyg_hag.linear_codes, arguments, test_utils=_CHECKS)
    arguments = torch.randn(9, 4), 0.1, 3, 255, torch.rand(9), *torch.rand(2, 4)
    torch.library.opcheck(
        torch.ops.pyg_hag.round_to_codes, arguments, test_utils=_CHECKS
    )


_CHECKS = "test_schema", "test_faketensor"


def test_errors():
    edge_index, size = GRAPHS["dense"]
    hag = fewest_hag(edge_index, size=size)
    x = torch.zeros(40, 8, dtype=torch.uint8)
    with pytest.raises(
        TypeError, match=r"'x' must have dtype torch\.uint8 \(got torch"
    ):
        aggregate_codes(x.float(), Scale(1.0, 0), hag)
    with pytest.raises(ValueError, match="'reduce' must be one of"):
        aggregate_codes(x, Scale(1.0, 0), hag, "mean")
    with pytest.raises(ValueError, match=r"'x' must have shape \[40, F\]"):
        aggregate_codes(x[1:], Scale(1.0, 0), hag)
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, F\] in INT8"):
        round_to_codes(torch.randn(2, 3, 4), Scale(1.0, 0))
    weight = torch.ones(3, 8, dtype=torch.int8)
    with pytest.raises(TypeError, match=r"'x' must have dtype torch\.uint8"):
        linear_codes(x.to(torch.int8), Scale(1.0, 0), weight, torch.ones(3))


_PRODUCTS = """
import torch
from pyg_hag.ops.codes import Rest, Scale, linear_codes, packed
torch.set_num_threads(1)
for rows, inner, outer in ((1, 1, 1), (3, 7, 5), (100, 64, 64), (33, 1433, 7)):
    x = torch.randint(256, (rows, inner), dtype=torch.uint8)
    weight = packed(torch.ones(outer, inner, dtype=torch.int8))
    rest = Rest(torch.zeros(rows, outer, dtype=torch.uint8), 1.0, 0)
    for most in (255, 15):
        for other in (None, rest):
            for to in (None, Scale(0.1, 3, most)):
                rest_ = other if other is None else rest
                with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                    linear_codes(x, Scale(1.0, 3), weight, torch.ones(outer),
                                 torch.ones(outer), True, rest_, to)
"""


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"
)
def test_no_product_is_one_of_reference_code():
    """What oneDNN says that it runs: never its reference code, which takes seconds."""
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
