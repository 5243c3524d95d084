import pytest
import torch
from graphs import fewest_hag, num_threads, random_graph

from pyg_hag.ops.attention.edges import ends_with_loops
from pyg_hag.ops.attention.quantized import (
    _finish,
    attention_quantized,
    quantized_on_edges,
)
from pyg_hag.ops.attention.rounding import QuantizedAttention, order_of
from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.ops.qparams import Epilogue, QParams

SIZES = [(1, 1), (1, 7), (1, 64), (2, 33), (3, 8), (4, 64), (8, 8), (16, 3), (20, 5)]
EPILOGUES = ("none", "all", "quantized")


def epilogue_of(kind, columns):
    if kind == "none":
        return Epilogue()
    channels = torch.rand(columns) + 0.5, 0.1 * torch.randn(columns)
    out_qparams = QParams(0.01, 10) if kind == "quantized" else None
    return Epilogue(
        channel_scale=channels[0],
        bias=channels[1],
        relu=True,
        out_qparams=out_qparams,
    )


def example(how, with_terms):
    edge_index, (n, _) = random_graph(3, 50, 50, 0.2)
    hag = fewest_hag(edge_index[:, edge_index[1] != 5], n)
    layout = how.layout
    codes = torch.randint(0, 256, (n, layout.columns), dtype=torch.uint8)
    scores = torch.randn(n, 2 * layout.heads)
    num_edges = ends_with_loops(hag, how.loops)[0].numel()
    term = torch.randn(num_edges, how.num_heads) if with_terms else None
    return hag, (codes, scores, scores.flip(0), term)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("epilogue", EPILOGUES)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("terms", [False, True])
@pytest.mark.parametrize("step", [0.02, 1.0])
@pytest.mark.parametrize("qmax", [255, 15])
@pytest.mark.each_value
def test_same_as_edge_by_edge(size, epilogue, mean, loops, terms, step, qmax):
    score = QParams(step * 255 / qmax, qmax // 3, qmax)
    total = QParams(0.009 * 255 / qmax, qmax // 2, qmax)
    how = QuantizedAttention(*size, QParams(0.01, 7), score, total, 0.2, loops, mean)
    hag, (codes, key, query, term) = example(how, terms)
    end = epilogue_of(epilogue, how.columns)
    got = attention_quantized(how, codes, key, query, hag, term, end)
    heads = quantized_on_edges(how, hag, codes, key, query, term)[0]
    wanted = _finish(heads, how, end)
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    difference = (got.double() - wanted.double()).abs()
    in_bytes = got.dtype == torch.uint8
    one = 1.5 * total.scale / (0.01 if in_bytes else 1) + in_bytes
    assert float(difference.max()) <= one + 1e-5
    assert float((difference > 1e-4).float().mean()) <= 0.02


def test_any_number_of_threads():
    how = QuantizedAttention(8, 8, QParams(0.01, 7), QParams(0.02, 9), QParams(0.01, 3))
    hag, inputs = example(how, False)
    outs = []
    for threads in (1, 2):
        with num_threads(threads):
            outs.append(attention_quantized(how, *inputs[:3], hag))
    assert torch.equal(*outs)


def test_order_of_features():
    for size in SIZES:
        layout = Layout("float32", *size)
        order = order_of(layout)
        numbers = torch.arange(1.0, size[0] * size[1] + 1).view(1, *size)
        padded = torch.cat([numbers.new_zeros(1), numbers.flatten()])
        assert torch.equal(padded[order + 1][None], layout.features(numbers))


def test_layouts_read_nothing_but_memory_of_the_cpu():
    layout = Layout("float32", 2, 3)
    for x in (torch.ones(4, 2, 3, device="meta"), torch.ones(4, 2, 3).double()):
        with pytest.raises(TypeError, match="float32 on the CPU in this layout"):
            layout.features(x)


def test_no_edges():
    how = QuantizedAttention(2, 3, QParams(0.1, 7), QParams(0.1, 9), QParams(0.1, 3))
    hag = fewest_hag(torch.empty(2, 0, dtype=torch.long), 4)
    layout = how.layout
    codes = torch.zeros(4, layout.columns, dtype=torch.uint8)
    scores = torch.zeros(4, 2 * layout.heads)
    out = attention_quantized(how, codes, scores, scores, hag)
    assert torch.equal(out, torch.zeros(4, 6))
