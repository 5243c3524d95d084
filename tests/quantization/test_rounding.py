"""Random models in INT8 against the quantized models that they are made of.

They differ only where a value is, but for an error of floating point, midway between
two quantized values, so that the two models round it to different sides. That is
proved: the quantized model runs again, with the sides that the INT8 model took there
and nowhere else, and must give the same result.
"""

import random
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from graphs import fewest_hag, random_graph, signed_hag
from torch_geometric import nn

from pyg_hag import build_hag
from pyg_hag.ops.quantized import quantize
from pyg_hag.quantization import DegreeQuantConfig, FakeQuantize, calibrate, convert
from pyg_hag.quantization.int8.modules import Quantizer
from pyg_hag.quantization.int8.qtensor import LazyQTensor, QTensor
from pyg_hag.quantization.qat.features import FakeQTensor
from pyg_hag.utils.tensors import per_row

FORMS = {
    "edges": lambda edges, n: edges,
    "hag": fewest_hag,
    "plain": lambda edges, n: build_hag(edges, num_nodes=n, capacity=0),
    "signed": signed_hag,
}
SUMS = "add", "mean"
ALL = "add", "mean", "max", "min"
MIDWAY = 2e-3
"""How far from midway, in quantized values, errors of floating point reach: float32 has
24 bits for up to some hundred values times the number of the terms of a sum."""
EQUAL = 1e-5


class Model(torch.nn.Module):
    """Random layers with random norms, activations and additions between them."""

    def __init__(self, rng, aggrs):
        super().__init__()
        width = rng.choice([4, 7, 16])
        sizes = [8] + [width] * rng.randint(1, 3)
        self.layers = torch.nn.ModuleList(
            layer_of(rng, aggrs, a, b) for a, b in pairwise(sizes)
        )
        self.norms = torch.nn.ModuleList(
            rng.choice([torch.nn.BatchNorm1d(n), torch.nn.Identity()])
            for n in sizes[1:]
        )
        self.relu_first = rng.random() < 0.3
        self.adds = rng.random() < 0.4
        self.last = torch.nn.Linear(width, 3) if rng.random() < 0.3 else None

    def forward(self, x, graph):
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = layer(x, graph)
            h = norm(h.relu()) if self.relu_first else norm(h).relu()
            x = h + x if self.adds and h.shape == x.shape else h
        return x if self.last is None else self.last(x)


def layer_of(rng, aggrs, a, b):
    aggr, bias = rng.choice(aggrs), rng.random() < 0.7
    makers = {
        "GCN": lambda: nn.GCNConv(a, b, bias=bias, improved=rng.random() < 0.3),
        "GCN, plain": lambda: nn.GCNConv(a, b, normalize=False, aggr=aggr),
        "SAGE": lambda: nn.SAGEConv(
            a, b, aggr=aggr, project=rng.random() < 0.3, bias=bias
        ),
        "SAGE, normalized": lambda: nn.SAGEConv(a, b, aggr, normalize=True),
        "Graph": lambda: nn.GraphConv(a, b, aggr=aggr, bias=bias),
        "GIN": lambda: nn.GINConv(nn.MLP([a, 8, b]), eps=rng.random(), aggr=aggr),
        "SGC": lambda: nn.SGConv(a, b, K=rng.randint(1, 3), bias=bias),
    }
    if b % 4 == 0:
        names = ["symnorm", "sum", "mean"] + ["max", "min"] * ("max" in aggrs)
        names = rng.sample(names, rng.randint(1, 3))
        makers["EGC"] = lambda: nn.EGConv(a, b, names, num_heads=2, num_bases=2)
    return makers[rng.choice(sorted(makers))]()


def random_case(seed):
    """A quantized model, the model in INT8, features and a graph."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    form = rng.choice(sorted(FORMS))
    model = Model(rng, SUMS if form == "signed" else ALL)
    n = rng.choice([5, 20, 60])
    edges = random_graph(seed, n, n, rng.choice([0.1, 0.3, 0.6]))[0]
    graph, x = FORMS[form](edges, n), torch.randn(n, 8) * rng.choice([0.1, 1.0, 30.0])
    config = DegreeQuantConfig(
        bits=rng.choice([8, 8, 8, 4]),
        protect=False,
        ranges=rng.choice(["minmax", "percentile"]),
        per_channel=rng.random() < 0.7,
    )
    model.train()
    with torch.no_grad():
        model(x, edges)
    quantized = calibrate(model.eval(), [(x, graph)], config)
    return quantized, convert(quantized, (x, graph)), x, graph


def names_of(model, kind):
    return {id(m): name for name, m in model.named_modules() if isinstance(m, kind)}


@contextmanager
def patched(cls, method, function):
    original = getattr(cls, method)
    setattr(cls, method, lambda *args, **kwargs: function(original, *args, **kwargs))
    try:
        yield
    finally:
        setattr(cls, method, original)


def taken_by(fast, x, graph):
    """The output in INT8, and the quantized values of each quantizer."""
    names, taken = names_of(fast.model, Quantizer), {}

    def record(original, self, *args, **kwargs):
        out = original(self, *args, **kwargs)
        values = out
        if isinstance(out, LazyQTensor):
            values = QTensor(quantize(*vars(out).values()), out.qparams)
        steps = values.values.float() - values.qparams.zero_point
        taken.setdefault(names[id(self)], []).append(steps)
        return out

    with patched(Quantizer, "quantize", record):
        return fast(x, graph), taken


def with_sides(quantized, taken, x, graph):
    """The quantized model with the values of the INT8 model where it rounds otherwise.

    Returns the output, the number of these values, and the largest distance of one from
    midway between two quantized values.
    """
    names, distances = names_of(quantized.model, FakeQuantize), [0.0]
    rest = {name: list(steps) for name, steps in taken.items()}

    def force(original, self, x, protected=None, row_scale=None, *args, **kwargs):
        out = original(self, x, protected, row_scale, *args, **kwargs)
        name = names[id(self)]
        if name not in rest:
            return out
        steps = rest[name].pop(0)
        other = steps != out.steps
        if other.any():
            scaled = x if row_scale is None else x * per_row(row_scale, x)
            exact = (scaled * out.scale.reciprocal())[other]
            assert (steps - out.steps)[other].abs().max() == 1, name
            far = (exact - exact.floor() - 0.5).abs()
            distances.extend(far.tolist())
        return FakeQTensor(torch.where(other, steps, out.steps), out.scale)

    with torch.no_grad(), patched(FakeQuantize, "quantize", force):
        out = quantized(x, graph)
    assert not any(rest.values())
    return out, len(distances) - 1, max(distances)


def compared(seed):
    """How far the models are apart, as they are and with the same sides."""
    quantized, fast, x, graph = random_case(seed)
    with torch.no_grad():
        wanted = quantized(x, graph)
    got, taken = taken_by(fast, x, graph)
    out, count, distance = with_sides(quantized, taken, x, graph)
    scale = wanted.abs().max().clamp(min=1e-30)
    apart = float((got - wanted).abs().max() / scale)
    return apart, float((got - out).abs().max() / scale), count, distance


@pytest.mark.parametrize("seed", range(40))
def test_models_differ_only_by_the_sides_of_values_midway(seed):
    apart, explained, count, distance = compared(seed)
    assert explained <= EQUAL
    assert distance <= MIDWAY
    assert count > 0 or apart <= EQUAL
