"""What quantized models hold, refuse and leave alone: ranges, modes, dtypes, layers."""

import copy
import warnings

import pytest
import torch
from graphs import fewest_hag, random_graph
from test_prepare import MODELS
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_geometric import nn

from pyg_hag.quantization import (
    Conversion,
    DegreeQuantConfig,
    FakeQuantize,
    QATLinear,
    calibrate,
    convert,
    prepare_qat,
)
from pyg_hag.quantization.int8.convert import NEVER_RAN
from pyg_hag.quantization.qat.base import QuantizedLayer

N = 40
PLAIN = DegreeQuantConfig(protect=False, ranges="minmax")


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]().eval()


@pytest.fixture
def graph():
    edge_index, _ = random_graph(3, N, N, 0.3)
    return torch.randn(N, 8), edge_index, fewest_hag(edge_index, N)


# Copies of buffers ############################################################


def by_buffers(source, other):
    for a, b in zip(other.parameters(), source.parameters(), strict=True):
        a.data.copy_(b)
    for a, b in zip(other.buffers(), source.buffers(), strict=True):
        a.copy_(b)
    return other


def averaged(source, **kwargs):
    out = AveragedModel(source, **kwargs)
    out.update_parameters(source)
    return out


COPIES = {
    "buffers": by_buffers,
    "state": lambda s, o: o.load_state_dict(s.state_dict()) and o,
    "deepcopy": lambda s, o: copy.deepcopy(s),
    "SWA": lambda s, o: averaged(s),
    "SWA, with buffers": lambda s, o: averaged(s, use_buffers=True),
    "EMA": lambda s, o: averaged(s, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
    "functional": lambda s, o: (
        lambda *args: torch.func.functional_call(
            o, {**dict(s.named_parameters()), **dict(s.named_buffers())}, args
        )
    ),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_as_ready(kind, model, graph):
    x, _, hag = graph
    source, fresh = prepare_qat(model, PLAIN), prepare_qat(model, PLAIN).eval()
    source(x, hag)
    source.eval()
    other = COPIES[kind](source, fresh)
    if isinstance(other, torch.nn.Module):
        other.eval()
    with torch.no_grad():
        torch.testing.assert_close(other(x, hag), source(x, hag))


def test_readiness_follows_the_buffers(graph):
    x, _, hag = graph
    quantized = prepare_qat(nn.GCNConv(8, 4), PLAIN)
    quantized(x, hag)
    quantized.eval()(x, hag)
    for module in quantized.modules():
        if isinstance(module, FakeQuantize):
            module.num_observed.zero_()
    with pytest.raises(RuntimeError, match="not observed any values"):
        quantized(x, hag)


# Features without a range #####################################################

UNUSABLE = {
    "integers": (lambda x: x.long(), TypeError, r"reads features of torch\.int64"),
    "booleans": (lambda x: x > 0, TypeError, r"reads features of torch\.bool"),
    "NaN": (lambda x: x.masked_fill(x > 1, torch.nan), ValueError, "or NaN"),
    "inf": (lambda x: x.masked_fill(x > 1, torch.inf), ValueError, "infinite"),
    "-inf": (lambda x: x.masked_fill(x > 1, -torch.inf), ValueError, "infinite"),
}


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
@pytest.mark.parametrize("kind", UNUSABLE)
def test_features_without_a_range_are_refused(kind, ranges, model, graph):
    x, _, hag = graph
    spoil, error, text = UNUSABLE[kind]
    config = DegreeQuantConfig(protect=False, ranges=ranges)
    quantized = prepare_qat(model, config)
    quantized(x, hag)
    before = copy.deepcopy(quantized.state_dict())
    first = next(
        module.layer
        for module in quantized.modules()
        if isinstance(module, FakeQuantize) and not module.is_weight
    )
    with pytest.raises(error, match=f"quantized layer '.*{text}") as raised:
        quantized(spoil(x), hag)
    names = {name or type(model).__name__ for name, _ in model.named_modules()}
    assert first in names and any(f"'{name}'" in str(raised.value) for name in names)
    after = quantized.state_dict()
    for name, value in before.items():
        if not name.endswith(("weight_fake_quant.num_observed", "num_drawn")):
            assert torch.equal(after[name], value), name
    with pytest.raises(error):
        calibrate(model, [(x, hag), (spoil(x), hag)], config)
    quantized.eval()
    assert quantized(x, hag).isfinite().all()


def test_such_features_leave_ranges_where_nothing_waits(monkeypatch):
    """On other devices, which raise no error."""
    observer = FakeQuantize(PLAIN)
    observer(torch.tensor([-1.0, 2.0]))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    observer(torch.tensor([5.0, torch.nan]))
    assert (float(observer.low), float(observer.high)) == (-1, 2)
    assert int(observer.num_observed) == 1
    observer(torch.tensor([5.0, 0.0]))
    assert float(observer.high) == 5 and int(observer.num_observed) == 2


# Inference mode ###############################################################


def test_evaluation_in_inference_mode_before_training(model, graph):
    x, edge_index, hag = graph
    quantized = prepare_qat(model, PLAIN)
    quantized(x, hag)
    for form in (hag, edge_index):
        quantized.eval()
        with torch.inference_mode():
            wanted = quantized(x, form)
        assert torch.equal(quantized(x, form), wanted)
        quantized.train()
        quantized(x.clone().requires_grad_(), form).sum().backward()


def test_prepared_and_calibrated_in_inference_mode(model, graph):
    x, edge_index, hag = graph
    wanted = calibrate(model, [(x, hag)], PLAIN)
    with torch.inference_mode():
        features, edges = x.clone(), edge_index.clone()
        calibrated = calibrate(model, [(features, hag)], PLAIN)
        fast = convert(calibrated, (features, hag))
        out = fast(features, hag)
        assert torch.equal(fast(features, edges), fast(features, edge_index))
        quantized = prepare_qat(model, PLAIN)
    assert torch.equal(calibrated(x, hag), wanted(x, hag))
    assert torch.equal(fast(x, hag), out)
    assert torch.equal(convert(wanted, (x, hag))(x, hag), out)
    for trained in (calibrated.train(), quantized):
        trained(x, hag).sum().backward()
        assert not any(b.is_inference() for b in trained.buffers())


# Dtypes #######################################################################


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64]
)
def test_int8_models_take_features_of_any_dtype(dtype, model, graph):
    x, edge_index, hag = graph
    fast = convert(calibrate(model, [(x, hag)], PLAIN), (x, hag))
    x = (3 * x).to(dtype)
    if all(layer.reason != "attention" for layer in fast.layers):
        for form in (hag, edge_index):
            assert torch.equal(fast(x, form), fast(x.float(), form))


CASTS = {
    "half": lambda m: m.half(),
    "double": lambda m: m.double(),
    "bfloat16": lambda m: m.bfloat16(),
    "to": lambda m: m.to(torch.float64),
    "to device and dtype": lambda m: m.to("cpu", torch.float16),
    "part of a model": lambda m: torch.nn.Sequential(m).half(),
}


@pytest.mark.parametrize("cast", CASTS)
def test_int8_models_stay_in_float32(cast, graph):
    x, _, hag = graph
    fast = convert(calibrate(nn.GCN(8, 16, 2, 4), [(x, hag)], PLAIN), (x, hag))
    wanted = fast(x, hag)
    with pytest.raises(TypeError, match="cannot be converted to another dtype"):
        CASTS[cast](fast)
    assert torch.equal(fast(x, hag), wanted)
    for same in (fast.float(), fast.to("cpu"), fast.to(torch.float32)):
        assert torch.equal(same(x, hag), wanted)


@pytest.mark.parametrize("cast", ["half", "double"])
def test_parts_of_int8_models_in_other_dtypes(cast, model, graph):
    """Their biases are rounded, as asked for, and read as what they are."""
    x, _, hag = graph
    fast = convert(calibrate(model, [(x, hag)], PLAIN), (x, hag))
    if any(layer.reason for layer in fast.layers):
        return
    wanted = fast(x, hag)
    CASTS[cast](fast.model)
    assert (fast(x, hag) - wanted).abs().max() <= 0.02 * wanted.abs().max()


# Layers that have not run #####################################################


class Unused(torch.nn.Module):
    """A layer that runs, and others of which some never run."""

    def __init__(self, unused):
        super().__init__()
        self.conv, self.unused = nn.GCNConv(8, 8), unused

    def forward(self, x, graph, *args, runs=False):
        x = self.conv(x, graph).relu()
        return self.unused(x, *args) if runs else x


def linear_arguments(graph):
    return ()


def graph_arguments(graph):
    return (graph,)


UNUSED = {
    "Linear": (lambda: torch.nn.Linear(8, 8), linear_arguments),
    "PyG's Linear": (lambda: nn.Linear(8, 8), linear_arguments),
    **{
        name: (MODELS[name], graph_arguments)
        for name in ("GCN", "SAGE", "GIN", "Graph", "SGC", "EGC", "GAT")
    },
    "attention": (
        lambda: torch.nn.MultiheadAttention(8, 2, batch_first=True),
        lambda graph: (torch.ones(3, 5, 8), torch.ones(3, 5, 8)),
    ),
    "transformer": (
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        linear_arguments,
    ),
    "GPS": (lambda: nn.GPSConv(8, nn.GCNConv(8, 8), heads=2), graph_arguments),
}


@pytest.mark.parametrize("kind", UNUSED)
def test_layers_that_have_not_run_stay_in_float32(kind, graph):
    x, edge_index, hag = graph
    make, arguments = UNUSED[kind]
    model = Unused(make()).eval()
    fast = convert(calibrate(model, [(x, hag)], PLAIN), (x, hag))
    assert fast.layers[0] == Conversion("conv", "GCNConv", "")
    never = [layer for layer in fast.layers if layer.reason == NEVER_RAN]
    assert never and all(layer.name.startswith("unused") for layer in never)
    assert NEVER_RAN in repr(fast.layers) and never[0].name in repr(fast.layers)
    wanted = {name for name, _ in model.named_modules() if name.startswith("unused")}
    assert {layer.name for layer in never} <= wanted
    kinds = FakeQuantize, QATLinear
    assert not any(isinstance(m, kinds) for m in fast.model.unused.modules())
    assert not any(isinstance(m, QuantizedLayer) for m in fast.model.unused.modules())
    if kind != "attention":
        h = torch.randn(N, 8)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for form in (hag, edge_index):
                got = fast.model.unused(h, *arguments(form))
                torch.testing.assert_close(got, model.unused(h, *arguments(edge_index)))


@pytest.mark.parametrize("kind", ["attention", "transformer", "GPS"])
def test_layers_that_do_not_call_their_linear_layers(kind, graph):
    x, _, hag = graph
    make, _ = UNUSED[kind]

    class Around(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.layer = nn.GCNConv(8, 8), make()

        def forward(self, x, graph):
            x = self.conv(x, graph).view(5, 8, 8)
            if kind == "attention":
                return self.layer(x, x, x)[0].flatten(0, 1)
            if kind == "GPS":
                return self.layer(x.flatten(0, 1), graph)
            return self.layer(x).flatten(0, 1)

    model = Around().eval()
    quantized = calibrate(model, [(x, hag)], PLAIN)
    fast = convert(quantized, (x, hag))
    with torch.no_grad():
        wanted = model(x, graph[1])
        assert (fast(x, hag) - wanted).abs().max() <= 0.1 * wanted.abs().max()


def test_convert_needs_values(graph):
    x, _, hag = graph
    with pytest.raises(ValueError, match="has not observed any values yet"):
        convert(prepare_qat(nn.GCN(8, 16, 2, 4)), (x, hag))


# Parameters ###################################################################


@pytest.mark.parametrize("linear", [torch.nn.Linear, nn.Linear])
def test_linear_layers_draw_new_parameters(linear):
    options = {}
    if linear is nn.Linear:
        options = {"weight_initializer": "glorot", "bias_initializer": "zeros"}
    original = linear(8, 4, **options)
    quantized = prepare_qat(original, PLAIN)
    quantized(torch.randn(5, 8))
    torch.manual_seed(1)
    original.reset_parameters()
    torch.manual_seed(1)
    quantized.model.reset_parameters()
    assert torch.equal(quantized.model.weight, original.weight)
    assert torch.equal(quantized.model.bias, original.bias)
    assert all(
        int(m.num_observed) == 0
        for m in quantized.modules()
        if isinstance(m, FakeQuantize)
    )


def test_models_draw_new_parameters(model, graph):
    x, _, hag = graph
    quantized = prepare_qat(model, PLAIN)
    quantized(x, hag)
    torch.manual_seed(1)
    model.reset_parameters()
    torch.manual_seed(1)
    quantized.model.reset_parameters()
    state = quantized.model.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(state[name], value)
    for module in quantized.modules():
        if isinstance(module, FakeQuantize):
            assert int(module.num_observed) == 0 and module.high.eq(0).all()


class Scaled(torch.nn.Linear):
    def forward(self, x):
        return 10 * super().forward(x)


def test_linear_layers_with_more_than_a_product():
    x, scaled = torch.randn(5, 8), Scaled(8, 4)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), scaled)
    quantized = calibrate(model, [(x,)], PLAIN)
    assert (quantized(x) - model(x)).abs().max() < 0.05 * model(x).abs().max()
    norm = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(8, 4))
    with pytest.raises(ValueError, match="its parameters are computed from others"):
        prepare_qat(norm)
    hooked = torch.nn.Linear(8, 4)
    hooked.register_forward_hook(lambda module, args, out: 2 * out)
    with pytest.raises(ValueError, match="it has hooks"):
        prepare_qat(hooked)
