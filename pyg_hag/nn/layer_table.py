"""Which of PyG's layers support HAGs, by which mix-in, and why others do not."""

import inspect
from typing import Any

from torch_geometric import nn
from torch_geometric.nn import MessagePassing, conv, models

from pyg_hag.nn.mixins.attention import (
    AttentionMixin,
    GATMixin,
    GATv2Mixin,
    HANMixin,
    TransformerMixin,
)
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.mixins.multi_aggregation import DirGNNMixin, EGMixin, HypergraphMixin
from pyg_hag.nn.mixins.normalized import (
    APPNPMixin,
    ChebMixin,
    ClusterGCNMixin,
    GCN2Mixin,
    GCNConvMixin,
    GCNMixin,
    LabelPropagationMixin,
    SGMixin,
    SSGMixin,
)
from pyg_hag.nn.mixins.source_messages import GeneralMixin, GENMixin
from pyg_hag.nn.mixins.with_root import (
    GINMixin,
    GraphConvMixin,
    LEMixin,
    MFMixin,
    SAGEMixin,
    SimpleMixin,
    WLContinuousMixin,
)

MIXINS: dict[type, type] = {
    nn.GCNConv: GCNConvMixin,
    nn.TAGConv: GCNMixin,
    nn.SGConv: SGMixin,
    nn.SSGConv: SSGMixin,
    nn.APPNP: APPNPMixin,
    nn.LGConv: GCNMixin,
    nn.GCN2Conv: GCN2Mixin,
    nn.ARMAConv: GCNMixin,
    nn.MixHopConv: GCNMixin,
    nn.LabelPropagation: LabelPropagationMixin,
    nn.SAGEConv: SAGEMixin,
    nn.GraphConv: GraphConvMixin,
    nn.GatedGraphConv: HAGMessagePassing,
    nn.SignedConv: HAGMessagePassing,
    nn.GINConv: GINMixin,
    nn.EGConv: EGMixin,
    nn.GeneralConv: GeneralMixin,
    nn.GENConv: GENMixin,
    nn.SimpleConv: SimpleMixin,
    nn.ChebConv: ChebMixin,
    nn.ClusterGCNConv: ClusterGCNMixin,
    nn.MFConv: MFMixin,
    nn.LEConv: LEMixin,
    nn.HypergraphConv: HypergraphMixin,
    nn.WLConvContinuous: WLContinuousMixin,
    nn.DirGNNConv: DirGNNMixin,
    nn.GATConv: GATMixin,
    nn.GATv2Conv: GATv2Mixin,
    nn.TransformerConv: TransformerMixin,
    nn.HANConv: HANMixin,
}
"""The mix-in that makes each of PyG's layers accept a HAG."""

UNSUPPORTED: dict[str, str] = {
    "AGNNConv": "attention",
    "CuGraphGATConv": "attention",
    "CuGraphRGCNConv": "needs a cuGraph data structure",
    "CuGraphSAGEConv": "needs a cuGraph data structure",
    "CGConv": "messages depend on both nodes",
    "DNAConv": "attention",
    "DynamicEdgeConv": "builds its own graph",
    "EdgeConv": "messages depend on both nodes",
    "FAConv": "attention",
    "FastRGCNConv": "one matrix per edge type: use `HeteroConv`",
    "FeaStConv": "attention",
    "FiLMConv": "messages depend on both nodes",
    "FusedGATConv": "a kernel of dgNN: use `GATConv`",
    "GINEConv": "edge features",
    "GMMConv": "edge features",
    "GravNetConv": "builds its own graph",
    "HEATConv": "attention",
    "HGTConv": "attention",
    "MeshCNNConv": "its nodes are mesh edges",
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
    "WLConv": "hashes neighbourhoods",
    "XConv": "builds its own graph",
}
"""The layers of PyG that get the edges of a HAG, and why."""

SHARING = GATMixin, HANMixin
"""The mix-ins of layers whose attention can be shared."""
CONTAINERS = ("AntiSymmetricConv", "DirGNNConv", "GPSConv", "HeteroConv")
"""Modules that run other layers on the graph."""
LIMITS: dict[str, str] = {
    "GATConv": "by sweeps where that pays, else fused; fused with edge features",
    "GATv2Conv": "with all of PyG's arguments",
    "HANConv": "by sweeps where that pays, else fused",
    "TransformerConv": "with all of PyG's arguments",
    "APPNP": "with `dropout` only in evaluation mode",
    "ClusterGCNConv": "with `add_self_loops`",
    "GENConv": "with `aggr` sum, mean, max, min, var, std, or several of them; without "
    "edge features",
    "GeneralConv": "without attention and edge features, with `directed_msg`",
    "HypergraphConv": "without attention",
    "SAGEConv": "with `aggr` sum, mean, max, min, var, std, several of them, or "
    "`HAGLSTMAggregation`",
    "SimpleConv": "self-loops with `aggr` sum",
    "WLConvContinuous": "with `flow` 'source_to_target'",
}
"""Conditions under which supported layers accept a HAG."""


def conv_table() -> list[list[str]]:
    """Support of every convolution of PyG, as a table with a header."""
    table = [["layer", "on a HAG"]]
    for name in sorted([*conv.__all__, "LabelPropagation"], key=str.lower):
        cls = getattr(conv, name, None) or getattr(models, name)
        if inspect.isclass(cls) and cls is not MessagePassing:
            table.append([f"`{name}`", _entry(name, cls)])
    return table


def _entry(name: str, cls: Any) -> str:
    if name in CONTAINERS:
        return "depends on the layers inside"
    if name in UNSUPPORTED:
        return f"edges: {UNSUPPORTED[name]}"
    mixin = next(MIXINS[base] for base in cls.__mro__ if base in MIXINS)
    fused = issubclass(mixin, AttentionMixin) and not issubclass(mixin, SHARING)
    runs = "fused" if fused else "shared"
    limit = f", {LIMITS[name]}" if name in LIMITS else ""
    if "edge_weight" in inspect.signature(cls.forward).parameters:
        return f"{runs}{limit}; with edge weights if they factor"
    return f"{runs}{limit}"
