"""What a model holds outside of its children: bound methods, lists, partials, ..."""

import copy
import functools
import io
import types

import pytest
import torch
from graphs import explainer_of, near_cliques
from torch import nn
from torch_geometric.nn import GCN, GATConv, GCNConv, SAGEConv

from pyg_hag import build_hag, from_hag, hag_support, to_hag

EDGES, (NODES, _) = near_cliques(0, 2, 6)
X = torch.randn(NODES, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hag():
    return build_hag(EDGES, NODES, objective="aggregations")


def assert_runs(fast, expected, hag):
    for graph in (hag, EDGES):
        torch.testing.assert_close(fast(X, graph), expected, rtol=1e-5, atol=1e-5)


class Holder(nn.Module):
    """A model that calls its layer in a way of its own."""

    def __init__(self, hold, layer):
        super().__init__()
        self.layer = layer
        self.held = hold(layer)

    def forward(self, x, edge_index):
        held = self.held
        while not callable(held):
            held = next(iter(held.values() if isinstance(held, dict) else held))
        return held(x, edge_index) + self.layer(x, edge_index)


def _with_default(layer):
    def call(x, edge_index, layer=layer):
        return layer(x, edge_index)

    return call


def _with_keyword(layer):
    def call(x, edge_index, *, layer=layer):
        return layer(x, edge_index)

    return call


def _with_itself(layer):
    def call(x, edge_index, steps=1):
        return call(x, edge_index, steps - 1) if steps else layer(x, edge_index)

    return call


HOLDS = {
    "recursion": _with_itself,
    "bound method": lambda layer: layer.forward,
    "call": lambda layer: layer.__call__,
    "list": lambda layer: [layer],
    "tuple": lambda layer: (layer,),
    "set": lambda layer: {layer},
    "dict": lambda layer: {"layer": layer},
    "list of methods": lambda layer: [layer.forward],
    "dict of lists": lambda layer: {"all": [(layer.forward,)]},
    "partial": lambda layer: functools.partial(layer.forward),
    "partial of a lambda": lambda layer: functools.partial(
        lambda f, x, e: f(x, e), layer
    ),
    "lambda": lambda layer: lambda x, e: layer(x, e),
    "default": _with_default,
    "keyword": _with_keyword,
}


@pytest.mark.parametrize("layer_class", [GCNConv, GATConv])
@pytest.mark.parametrize("name", HOLDS)
def test_layers_held_outside_of_the_children(name, layer_class, hag):
    model = Holder(HOLDS[name], layer_class(8, 4))
    expected = model(X, EDGES)
    fast = to_hag(model)
    assert_runs(fast, expected, hag)
    torch.testing.assert_close(from_hag(fast)(X, EDGES), expected)
    assert type(from_hag(fast).layer) is layer_class
    assert type(model.layer) is layer_class
    assert to_hag(model, inplace=True) is model
    assert_runs(model, expected, hag)
    assert from_hag(model, inplace=True) is model
    assert type(model.layer) is layer_class
    torch.testing.assert_close(model(X, EDGES), expected)


def test_modules_that_refer_to_each_other(hag):
    model = Holder(lambda layer: layer.forward, GCNConv(8, 4))
    model.layer.parent = [model]
    fast = to_hag(model)
    assert fast.layer.parent[0] is fast
    assert model.layer.parent[0] is model
    assert_runs(fast, model(X, EDGES), hag)


layer_of_this_file = GCNConv(8, 4)


def test_a_module_that_is_a_global_variable_is_refused():
    model = Holder(lambda _: lambda x, e: layer_of_this_file(x, e), GCNConv(8, 4))
    with pytest.raises(ValueError, match=r"'layer_of_this_file'.*inplace=True"):
        to_hag(model)
    to_hag(model, inplace=True)
    assert hag_support(layer_of_this_file)[0].supported
    from_hag(model, inplace=True)
    assert type(layer_of_this_file) is GCNConv


REPLACED = {
    "message": lambda self, x_j, **kwargs: 2 * x_j,
    "aggregate": lambda self, inputs, index, **kwargs: inputs[: len(X)],
    "update": lambda self, inputs: 3 * inputs,
    "propagate": lambda self, edge_index, x, **kwargs: x[0] + edge_index.size(1),
}


@pytest.mark.parametrize("name", REPLACED)
def test_methods_that_are_replaced_on_the_instance(name, hag):
    conv = SAGEConv(8, 4)
    setattr(conv, name, types.MethodType(REPLACED[name], conv))
    assert name in hag_support(conv)[0].reason
    assert_runs(to_hag(conv), conv(X, EDGES), hag)
    fast = to_hag(SAGEConv(8, 4))
    setattr(fast, name, types.MethodType(REPLACED[name], fast))
    assert name in hag_support(fast)[0].reason
    if name != "propagate":  # that of the user runs, and gets the HAG
        with pytest.raises(ValueError, match=f"overrides '{name}'"):
            fast(X, hag)


def test_a_layer_with_a_forward_of_its_own_is_refused():
    for conv in (SAGEConv(8, 4), GATConv(8, 4)):
        conv.forward = types.MethodType(type(conv).forward, conv)
        with pytest.raises(ValueError, match=r"'conv' \(.*Conv\) has a 'forward'"):
            to_hag(nn.ModuleDict({"conv": conv}))


def explained(conv):
    conv.explain = True
    conv.explain = False


def decomposed(conv):
    conv.decomposed_layers = 2


def composed_again(conv):
    conv.decomposed_layers = 2
    conv.decomposed_layers = 1


@pytest.mark.parametrize("change", [explained, decomposed, composed_again])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("make", [lambda: GCNConv(8, 4), lambda: GCN(8, 4, 2)])
def test_layers_whose_propagate_pyg_has_set(make, inplace, change, hag):
    model = make()
    expected = model(X, EDGES)
    for conv in model.modules():
        if isinstance(conv, GCNConv):
            change(conv)
    fast = to_hag(model, inplace=inplace)
    for other in (fast, copy.deepcopy(fast), saved(fast)):
        assert_runs(other, expected, hag)
        for conv in other.modules():  # and once more, on the layers of a HAG
            if isinstance(conv, GCNConv):
                change(conv)
        assert_runs(other, expected, hag)
        back = from_hag(saved(other), inplace=inplace)
        torch.testing.assert_close(back(X, EDGES), expected)


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_model_is_explained_and_used_again(hag):
    model = GCN(8, 4, 2)
    expected = model(X, EDGES)
    fast = to_hag(model)
    explainer_of(fast)(X, EDGES)
    for other in (fast, saved(fast), to_hag(from_hag(fast))):
        assert_runs(other, expected, hag)
    torch.testing.assert_close(from_hag(fast)(X, EDGES), expected)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_compiled_models(hag):
    model = GCN(8, 4, 2)
    expected = model(X, EDGES)
    fast = to_hag(torch.compile(model, backend="aot_eager"))
    assert type(fast) is type(torch.compile(model, backend="aot_eager"))
    assert_runs(fast, expected, hag)
    torch.testing.assert_close(from_hag(fast)(X, EDGES), expected)
    model.compile(backend="aot_eager")
    with pytest.raises(ValueError, match=r"GCN.*'compile\(\)'.*convert it first"):
        to_hag(nn.ModuleList([model]))
    assert_runs(to_hag(model, inplace=True), expected, hag)
    model = torch.compile(from_hag(model, inplace=True), backend="aot_eager")
    assert_runs(to_hag(model, inplace=True), expected, hag)


def test_torchscript_is_refused(hag):
    model = nn.ModuleDict(
        {"conv": GCNConv(8, 4), "lin": torch.jit.script(nn.Linear(4, 4))}
    )
    with pytest.raises(ValueError, match=r"'lin' \(.*\) is TorchScript"):
        to_hag(model)
    for layer in (GCNConv(8, 4), GATConv(8, 4)):
        with pytest.raises(NotImplementedError, match=r"TorchScript.*torch.compile"):
            torch.jit.script(to_hag(layer))


def test_converting_in_place_leaves_one_model(hag):
    model = GCN(8, 4, 2, dropout=0.5)
    with torch.no_grad():
        expected = model.eval()(X, EDGES)
    names = [*model.state_dict()]
    assert to_hag(model, inplace=True) is model
    assert [*model.state_dict()] == names
    assert_runs(model, expected, hag)
    assert all(s.supported for s in hag_support(model))
    assert to_hag(model, inplace=True) is model  # once more changes nothing
    assert_runs(model, expected, hag)
