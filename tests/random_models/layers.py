"""The layers of random models, and random arguments for them."""

import inspect
import random
from typing import Any

from torch import nn
from torch_geometric import nn as pyg

from pyg_hag.nn.layer_table import MIXINS

WIDTH = 4
EDGE_LAYERS = (
    pyg.GATConv, pyg.GATv2Conv, pyg.TransformerConv, pyg.ResGatedGraphConv,
    pyg.GINEConv, pyg.NNConv, pyg.CGConv, pyg.FiLMConv, pyg.RGCNConv, pyg.FAConv,
    pyg.FeaStConv, pyg.AGNNConv, pyg.PDNConv,
)  # fmt: skip
"""Layers that get the edges of a HAG."""
LAYERS = [*MIXINS, *MIXINS, *EDGE_LAYERS]
SINGLE = {pyg.ClusterGCNConv, pyg.LabelPropagation}
"""Layers of PyG with factors in float32, whatever the features."""
NEED_ATTR = {pyg.GINEConv, pyg.NNConv, pyg.PDNConv}
"""Layers that need `edge_attr`."""
BIPARTITE = [
    pyg.SAGEConv, pyg.GraphConv, pyg.GINConv, pyg.SimpleConv, pyg.GENConv, pyg.LEConv,
    pyg.WLConvContinuous, pyg.GATConv, pyg.NNConv, pyg.GINEConv, pyg.MFConv,
    pyg.GeneralConv,
]  # fmt: skip


READ_VALUES = {pyg.PDNConv, pyg.RGCNConv, pyg.FAConv, pyg.LabelPropagation}
"""Layers of PyG for which a matrix of ones is not a graph without weights."""
NOT_STATIC = {
    pyg.WLConvContinuous, pyg.HypergraphConv, pyg.GeneralConv, *EDGE_LAYERS
}  # fmt: skip
"""Layers of PyG that take the first dimension for the nodes."""


def mlp():
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


def edge_matrices():
    return nn.Linear(1, WIDTH * WIDTH)


def inner_conv():
    return pyg.SAGEConv(WIDTH, WIDTH)


REQUIRED: dict[str, list[Any]] = {
    "in_channels": [WIDTH],
    "out_channels": [WIDTH],
    "channels": [WIDTH],
    "nn": [mlp],
    "dim": [1],
    "conv": [inner_conv],
    "alpha": [0.1, 0.5, 1.0],
    "K": [1, 2, 3],
    "num_layers": [1, 2],
    "first_aggr": [True, False],
    "edge_dim": [1],
    "num_relations": [2],
    "hidden_channels": [WIDTH],
}
"""Values of arguments without a default; functions make a module."""

VALUES: dict[str, list[Any]] = {
    "aggr": [
        "add", "mean", "max", "min", "std", "var", "median", "softmax", "lstm",
        ["mean", "max"], ["sum", "std", "min"],
    ],
    "flow": ["target_to_source"],
    "node_dim": [0],
    "improved": [True],
    "cached": [True],
    "add_self_loops": [False, True],
    "normalize": [False, True],
    "bias": [False],
    "root_weight": [False],
    "project": [True],
    "eps": [0.0, 0.7],
    "train_eps": [True],
    "aggregators": [["symnorm"], ["sum", "max"], ["mean", "std"], ["var", "min"]],
    "num_heads": [1, 2, 4],
    "num_bases": [1, 3],
    "num_stacks": [2],
    "shared_weights": [True, False],
    "dropout": [0.3],
    "heads": [2],
    "concat": [False],
    "powers": [[0, 1], [0, 2], [1]],
    "theta": [0.5],
    "layer": [2],
    "skip_linear": [True],
    "directed_msg": [False],
    "attention": [True],
    "l2_normalize": [True],
    "t": [0.5],
    "learn_t": [True],
    "msg_norm": [True],
    "norm": ["layer", None],
    "expansion": [1],
    "combine_root": ["sum", "cat", "self_loop"],
    "normalization": [None, "rw", "sym"],
    "diag_lambda": [0.5],
    "max_degree": [2, 5],
    "negative_slope": [0.5],
    "use_attention": [True],
    "residual": [True],
}  # fmt: skip
"""Some values of arguments with a default."""


def arguments_of(
    cls: type, rng: random.Random, graph: str, has_attr: bool
) -> dict[str, Any]:
    """Random arguments for a layer of PyG."""
    parameters = inspect.signature(cls).parameters
    kwargs = {}
    for name, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if name in ("in_channels", "channels") and graph == "bipartite":
            kwargs[name] = (WIDTH, WIDTH) if cls is not pyg.GATConv else WIDTH
        elif name in REQUIRED and parameter.default is inspect.Parameter.empty:
            kwargs[name] = rng.choice(REQUIRED[name])
        elif name in ("edge_dim", "in_edge_channels") and has_attr:
            kwargs[name] = 1
        elif name in VALUES and (rng.random() < 0.25 or name == "num_heads"):
            kwargs[name] = rng.choice(VALUES[name])
    if "kwargs" in parameters:
        for name in ("aggr", "flow", "node_dim"):
            if name not in kwargs and rng.random() < 0.1:
                kwargs[name] = rng.choice(VALUES[name])
    if cls is pyg.GATConv and graph == "bipartite":
        kwargs["add_self_loops"] = False
    if cls is pyg.NNConv:
        kwargs["nn"] = edge_matrices
    if kwargs.get("aggr") == "lstm" and cls is not pyg.SAGEConv:
        kwargs["aggr_kwargs"] = {"in_channels": WIDTH, "out_channels": WIDTH}
    return kwargs


def allowed(cls, kwargs, form, mode, features, route):
    """The arguments with which PyG's results are defined."""
    kwargs = dict(kwargs)
    if cls is pyg.ARMAConv or features == "static":
        kwargs.pop("node_dim", None)  # takes another dimension for the nodes
    if features.startswith("pair"):
        kwargs.pop("flow", None)  # PyG counts the nodes of the other end
    if form not in ("edges", "EdgeIndex") or mode not in ("eval", "inference"):
        kwargs.pop("dropout", None)  # matrices and HAGs have edges in another order
    is_ordered = form in ("edges", "EdgeIndex") and route != "removed"
    if kwargs.get("aggr") == "lstm" and not is_ordered:
        kwargs["aggr"] = "mean"
    return kwargs
