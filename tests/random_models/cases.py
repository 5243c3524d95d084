"""What is run: all that follows from a seed."""

import random
from typing import Any, NamedTuple

import torch
from torch_geometric import nn as pyg
from torch_geometric.typing import WITH_TORCH_SPARSE

from random_models.graphs import GRAPHS
from random_models.layers import (
    BIPARTITE,
    LAYERS,
    NEED_ATTR,
    NOT_STATIC,
    READ_VALUES,
    allowed,
    arguments_of,
)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"objective": "aggregations"},
    {"objective": "aggregations"},
    {"objective": "aggregations", "subtract": True},
    {"subtract": True},
    {"capacity": 0},
    {"objective": "aggregations", "capacity": 3},
    {"objective": "aggregations", "method": "greedy"},
    {"order": "sequential"},
]
WEIGHTS = (
    *["none"] * 6, *["products"] * 3, "random", "random", "negative", "zeros", "ones",
    "whole", "bool", "column", "learned", "learned", "double",
)  # fmt: skip
DTYPES = (*[torch.float64] * 6, *[torch.float32] * 3, torch.float16, torch.bfloat16)
ROUTES = "build_hag", "transform", "batch", "removed", "pickled"
MODES = (
    *["train"] * 9, *["eval"] * 3, *["inference"] * 3, "evaluated first",
    "grad of grad",
    "jvp", "vmap", "copied", "from_hag", "state_dict", "inplace", "quantized",
    "quantized",
)  # fmt: skip


class Case(NamedTuple):
    """What is run, all of which follows from a seed."""

    seed: int
    layers: tuple[tuple[type, dict[str, Any]], ...]
    graph: str
    form: str
    weights: str
    dtype: torch.dtype
    options: dict[str, Any]
    route: str
    mode: str
    features: str
    has_attr: bool

    def __str__(self) -> str:
        layers = [
            f"{cls.__name__}({', '.join(f'{k}={_text(v)}' for k, v in kwargs.items())})"
            for cls, kwargs in self.layers
        ]
        return (
            f"{self.seed}: {' '.join(layers)} | {self.graph} {self.features}, "
            f"{self.form}, weights {self.weights}, {str(self.dtype)[6:]} | "
            f"{self.options} {self.route} | {self.mode}"
        )


def _text(value):
    return getattr(value, "__name__", repr(value))


def case_of(seed: int, compiled: bool = False) -> Case:
    rng = random.Random(seed)
    graph = rng.choice(list(GRAPHS))
    features = "x"
    if graph == "bipartite":
        classes = [rng.choice(BIPARTITE)]
        features = rng.choice(["pair", "pair", "pair without destinations"])
    else:
        classes = rng.choices(LAYERS, k=rng.choice([1, 1, 2, 3]))
        if not {*classes} & NOT_STATIC and rng.random() < 0.03:
            features = "static"
    has_attr = rng.random() < 0.5 or bool(NEED_ATTR & {*classes})
    layers = tuple((cls, arguments_of(cls, rng, graph, has_attr)) for cls in classes)
    form = rng.choice([*["edges"] * 7, "csr", "coo", "SparseTensor", "EdgeIndex"])
    is_missing = not WITH_TORCH_SPARSE or graph == "no nodes"  # which crashes there
    if form == "SparseTensor" and is_missing:
        form = "csr"
    mode = rng.choice(["compiled", "compiled train"] if compiled else MODES)
    dtype = torch.float32 if mode == "quantized" else rng.choice(DTYPES)
    weights = rng.choice(WEIGHTS)
    if weights in ("bool", "whole") and pyg.WLConvContinuous in classes:
        weights = "ones"  # PyG adds booleans to a boolean, and divides in float32
    if weights == "whole" and form not in ("edges", "EdgeIndex"):
        weights = "ones"
    if pyg.EGConv in classes and graph in ("no edges", "one node", "star", "random"):
        graph = "cliques"  # PyG gives no loops to the last nodes if they have no edges
    if READ_VALUES & {*classes} and form not in ("edges", "EdgeIndex"):
        form = "edges"  # needs values, which a matrix of ones does not keep
    if form not in ("edges", "EdgeIndex") and mode == "grad of grad":
        mode = "train"  # PyG's products with matrices are differentiated once
    options = rng.choice(OPTIONS)
    route = rng.choice(["build_hag", *ROUTES])
    chosen = form, mode, features, route
    layers = tuple((cls, allowed(cls, kwargs, *chosen)) for cls, kwargs in layers)
    return Case(
        seed,
        layers,
        graph,
        form,
        weights,
        dtype,
        options,
        route,
        mode,
        features,
        has_attr,
    )
