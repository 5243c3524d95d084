"""Which modules of a model share sums on a HAG, and why others do not."""

import inspect
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch_geometric.nn import MessagePassing, conv, models

from pyg_hag._table import text_table
from pyg_hag.nn.conv._message_passing import PER_EDGE, HAGMessagePassing
from pyg_hag.nn.conv._shared import SHARED

_WHY: dict[str, str] = {
    "AGNNConv": "attention",
    "CuGraphGATConv": "attention",
    "CuGraphRGCNConv": "takes a structure of cuGraph",
    "CuGraphSAGEConv": "takes a structure of cuGraph",
    "CGConv": "messages depend on both nodes",
    "DNAConv": "attention",
    "DynamicEdgeConv": "makes its own graph",
    "EdgeConv": "messages depend on both nodes",
    "FAConv": "attention",
    "FastRGCNConv": "one matrix per edge type: use `HeteroConv`",
    "FeaStConv": "attention",
    "FiLMConv": "messages depend on both nodes",
    "FusedGATConv": "attention",
    "GATConv": "attention",
    "GATv2Conv": "attention",
    "GINEConv": "edge features",
    "GMMConv": "edge features",
    "GravNetConv": "makes its own graph",
    "HANConv": "attention",
    "HEATConv": "attention",
    "HGTConv": "attention",
    "MeshCNNConv": "edges are its nodes",
    "NNConv": "edge features",
    "PANConv": "multiplies sparse matrices",
    "PDNConv": "edge features",
    "PNAConv": "messages depend on both nodes",
    "PPFConv": "messages depend on both nodes",
    "PointGNNConv": "messages depend on both nodes",
    "PointNetConv": "messages depend on both nodes",
    "PointTransformerConv": "attention",
    "RGATConv": "attention",
    "RGCNConv": "one matrix per edge type: use `HeteroConv`",
    "ResGatedGraphConv": "attention",
    "SplineConv": "edge features",
    "SuperGATConv": "attention",
    "TransformerConv": "attention",
    "WLConv": "hashes neighbourhoods",
    "XConv": "makes its own graph",
}
"""Why layers of PyG cannot share sums."""

_CONTAINERS = ("AntiSymmetricConv", "DirGNNConv", "GPSConv", "HeteroConv")
_LIMITS: dict[str, str] = {
    "APPNP": "with `dropout` in evaluation alone",
    "ClusterGCNConv": "with `add_self_loops`",
    "GENConv": "with `aggr` sum, mean, max, min, var, std, or several of them; without "
    "edge features",
    "GeneralConv": "without attention and edge features, with `directed_msg`",
    "HypergraphConv": "without attention",
    "SAGEConv": "with `aggr` sum, mean, max, min, var, std, several of them, or "
    "`HAGLSTMAggregation`",
    "SimpleConv": "self-loops with `aggr` sum",
    "WLConvContinuous": "from source to target",
}
"""What must hold for layers that share."""


@dataclass(frozen=True)
class Support:
    """What becomes of one module on a HAG.

    Attributes:
        name (str): Its name in the model, `""` for the model itself.
        layer (str): Its class.
        reason (str): Why it does not share sums; empty if it does.
    """

    name: str
    layer: str
    reason: str

    @property
    def shared(self) -> bool:
        """Whether it shares sums."""
        return not self.reason


class SupportTable(list[Support]):
    """One row for each layer; prints as a table."""

    def __str__(self) -> str:
        header = ["module", "layer", "on a HAG"]
        rows = [[s.name or "(model)", s.layer, s.reason or "shared"] for s in self]
        return text_table([header, *rows])

    __repr__ = __str__


def mixin_of(cls: type, table: dict[type, type] = SHARED) -> type | None:
    """The mix-in for a class of layers, by default that for HAGs, or None."""
    return next((table[base] for base in cls.__mro__ if base in table), None)


def reason_of(module: nn.Module) -> str | None:
    """Why a layer cannot share sums; None if it can, or is no layer."""
    cls = type(module)
    if isinstance(module, HAGMessagePassing):
        return module._unshared(module)
    mixin = mixin_of(cls)
    if mixin is not None:
        changed = _changed(cls)
        if changed is not None:
            return f"it overrides '{changed}'"
        unshared: Any = getattr(mixin, "_unshared", None)
        return None if unshared is None else unshared(module)
    if isinstance(module, MessagePassing) or cls.__name__ in _WHY:
        return _WHY.get(cls.__name__, "its messages are its own")
    return None


def _changed(cls: type) -> str | None:
    """What a class outside of PyG changes of a layer that would share sums."""
    for base in cls.__mro__:
        if base.__module__.startswith("torch_geometric."):
            break
        for name in ("forward", "propagate", *PER_EDGE):
            method = base.__dict__.get(name)
            compiled = base.__dict__.get("_jinja_propagate")  # by PyG
            if method is not None and not (name == "propagate" and method is compiled):
                return name
    return None


def conv_table() -> list[list[str]]:
    """What becomes of each convolution of PyG, as a table with a header."""
    table = [["layer", "on a HAG"]]
    for name in sorted([*conv.__all__, "LabelPropagation"], key=str.lower):
        cls = getattr(conv, name, None) or getattr(models, name)
        if inspect.isclass(cls) and cls is not MessagePassing:
            table.append([f"`{name}`", _entry(name, cls)])
    return table


def _entry(name: str, cls: Any) -> str:
    if name in _CONTAINERS:
        return "the layers inside it"
    if mixin_of(cls) is None:
        return f"not shared: {_WHY[name]}"
    limit = f", {_LIMITS[name]}" if name in _LIMITS else ""
    if "edge_weight" in inspect.signature(cls.forward).parameters:
        return f"shared{limit}; with edge weights if they factor"
    return f"shared{limit}"
