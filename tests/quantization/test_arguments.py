"""Every constructor argument of every quantized layer, against the layers of PyG.

A layer works as PyG's does, or is refused by `prepare_qat` with the argument's name.
"""

import inspect
import itertools

import pytest
import torch
from graphs import fewest_hag, random_graph
from torch_geometric import nn
from torch_geometric.nn import MessagePassing

from pyg_hag.nn import to_hag
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert
from pyg_hag.quantization.qat.layers import LAYERS

VALUES = {
    "aggr": ["add", "sum", "mean", "max", "min", "std", ["mean", "max"], "median"],
    "flow": ["source_to_target", "target_to_source"],
    "node_dim": [-2, 0, -1],
    "decomposed_layers": [1, 2],
    "normalize": [True, False],
    "improved": [False, True],
    "cached": [False, True],
    "add_self_loops": [True, False],
    "bias": [True, False],
    "root_weight": [True, False],
    "project": [False, True],
    "aggr_kwargs": [None],
    "eps": [0.0, 0.7],
    "train_eps": [False, True],
    "K": [1, 2],
    "aggregators": [["symnorm"], ["sum", "max"], ["mean", "std"], ["var"], ["min"]],
    "num_heads": [2, 4],
    "num_bases": [2, 3],
    "heads": [1, 2],
    "concat": [True, False],
    "negative_slope": [0.2, 0.7],
    "dropout": [0.0, 0.4],
    "edge_dim": [None],
    "fill_value": ["mean", 2.0],
    "residual": [False, True],
}
OWN = {"in_channels", "out_channels", "nn", "kwargs"}
SIZES = {"in_channels": 8, "out_channels": 8}
REFUSED = {
    "aggr": ("median", "std", "max", "min", "mean", ["mean", "max"]),
    "node_dim": (-1, -2),
    "cached": (True,),
}
UNKNOWN_TO_SOME = {"aggr", "node_dim", "decomposed_layers"}
"""Arguments of which PyG's layers do not take all values."""
N = 40
EDGES = random_graph(3, N, N, 0.3)[0]
HAG = fewest_hag(EDGES, N)
# Without rounding errors of note, for steps of a range are this small:
CONFIG = DegreeQuantConfig(ranges="minmax", protect=False)


def arguments_of(cls):
    """The arguments of a layer and of its base class, with some values of each."""
    names = {*inspect.signature(cls).parameters}
    if "kwargs" in names:
        names |= {"aggr", "flow", "node_dim", "decomposed_layers"}
    return {name: VALUES[name] for name in sorted(names - OWN)}


def test_all_arguments_have_values():
    known = {*inspect.signature(MessagePassing).parameters}
    assert known - {"aggr_kwargs"} <= {*VALUES}
    for cls in LAYERS:
        assert arguments_of(cls)


def cases():
    """One argument at a time, and all pairs of arguments that change anything."""
    for cls in LAYERS:
        values = arguments_of(cls)
        seen = []
        for first, second in itertools.combinations(values, 2):
            pairs = itertools.product(values[first], values[second])
            seen += [{first: a, second: b} for a, b in pairs]
        for kwargs in seen:
            yield pytest.param(cls, kwargs, id=f"{cls.__name__}-{kwargs}")


def make(cls, kwargs):
    """A layer of PyG that runs on the edges, and its result; None if PyG raises."""
    torch.manual_seed(0)
    sizes = {} if cls is nn.GINConv else SIZES
    if cls is nn.GINConv:
        kwargs = {"nn": torch.nn.Linear(8, 8), **kwargs}
    x = torch.randn(N, 8)
    try:
        conv = cls(**sizes, **kwargs).eval()
        with torch.no_grad():
            return conv, x, conv(x, EDGES)
    except Exception:
        return None


def check(cls, kwargs):
    """Compares a layer, trained quantized and in INT8, with PyG's."""
    made = make(cls, kwargs)
    if made is None:
        return "not in PyG"
    conv, x, wanted = made
    try:
        quantized = calibrate(conv, [(x, HAG)], CONFIG)
    except ValueError as error:
        named = [name for name in kwargs if f"'{name}'" in str(error)]
        assert named, error
        assert any(kwargs[name] in REFUSED.get(name, ()) for name in named), error
        return "refused"
    scale = wanted.abs().max()
    fast = convert(quantized, (x, HAG))
    with torch.no_grad():
        for form in (EDGES, HAG):
            out = quantized(x, form)
            assert out.shape == wanted.shape
            assert (out - wanted).abs().max() <= 0.06 * scale
            got = fast(x, form)
            assert (got - out).abs().max() <= 0.03 * scale
            assert ((got - out).abs() > 1e-4 * scale).float().mean() <= 0.05
    return "works"


@pytest.mark.full
@pytest.mark.parametrize("cls", LAYERS)
def test_pairs_of_arguments(cls):
    seen = {}
    for param in cases():
        layer, kwargs = param.values
        if layer is cls:
            result = check(layer, kwargs)
            for name, value in kwargs.items():
                seen.setdefault((name, str(value)), set()).add(result)
    for name, values in arguments_of(cls).items():
        for value in values:
            # No value is never compared, unless it is refused or PyG raises:
            found = seen[name, str(value)] & {"works", "refused"}
            assert found or name in UNKNOWN_TO_SOME, (name, value)
    # What PyG's layers have by default works:
    assert any("works" in results for results in seen.values())
    to_hag(make(cls, {})[0])
