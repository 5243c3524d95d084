"""Random models on random graphs: on HAGs they compute what PyG computes on edges.

`python tests/random_models.py --cases 20000` runs many, and lists every difference and
every error that PyG does not raise and the documentation does not name.
"""

import argparse
import inspect
import io
import pickle
import random
import time
import traceback
import warnings
from collections import Counter
from typing import Any, NamedTuple

import torch
from pyg_suite.comparison import difference
from pyg_suite.refusals import refusal
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data
from torch_geometric.typing import WITH_TORCH_SPARSE
from torch_geometric.utils import to_torch_csr_tensor

from pyg_hag import HAGTransform, build_hag, from_hag, to_hag
from pyg_hag.nn.layer_table import MIXINS
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert

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
NOT_STATIC = {pyg.WLConvContinuous, pyg.HypergraphConv, *EDGE_LAYERS}
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


class Outcome(NamedTuple):
    """How a case ended: `equal`, `refused`, `not in PyG` or `fault`."""

    kind: str
    reason: str


# Cases ########################################################################


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
    layers = tuple((cls, _allowed(cls, kwargs, *chosen)) for cls, kwargs in layers)
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


def _allowed(cls, kwargs, form, mode, features, route):
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


def _pairs(rng, num_src, num_dst, number):
    ends = [(rng.randrange(num_src), rng.randrange(num_dst)) for _ in range(number)]
    return ends, (num_src, num_dst)


def _cliques(rng):
    edges, n = [], 0
    for _ in range(rng.choice([1, 2, 3])):
        size = rng.randrange(3, 7)
        closed = rng.random() < 0.3
        nodes = range(n, n + size)
        edges += [(u, v) for u in nodes for v in nodes if closed or u != v]
        n += size
    edges += [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.choice([0, 3]))]
    rng.shuffle(edges)
    return edges, (n, n)


def _biclique(rng):
    a, b = rng.randrange(2, 6), rng.randrange(2, 6)
    return [(u, a + v) for u in range(a) for v in range(b)], (a + b, a + b)


def _bipartite(rng):
    a, b = rng.randrange(1, 7), rng.randrange(1, 7)
    edges = [(u, v) for u in range(a) for v in range(b) if rng.random() < 0.8]
    return edges, (a, b)


GRAPHS = {
    "no nodes": lambda rng: ([], (0, 0)),
    "one node": lambda rng: ([(0, 0)] * rng.choice([0, 1, 2]), (1, 1)),
    "no edges": lambda rng: ([], (4, 4)),
    "random": lambda rng: _pairs(rng, *[rng.randrange(2, 12)] * 2, rng.randrange(40)),
    "dense": lambda rng: _pairs(rng, 5, 5, 60),
    "cliques": _cliques,
    "more cliques": _cliques,
    "star": lambda rng: ([(v, 0) for v in range(1, 6)], (7, 7)),
    "biclique": _biclique,
    "bipartite": _bipartite,
}
"""Edges and `(num_src, num_dst)`, by the kind of graph."""


class Inputs:
    """The tensors of a case."""

    def __init__(self, case: Case) -> None:
        rng = random.Random(case.seed + 1)
        generator = torch.Generator().manual_seed(case.seed)

        def rand(*shape):
            values = torch.rand(*shape, generator=generator, dtype=torch.double)
            return values.to(case.dtype)

        ends, self.size = GRAPHS[case.graph](rng)
        if case.weights == "learned":
            # PyG keeps a node's last loop, but gives gradients to all of them
            loops = {edge for edge in ends if edge[0] == edge[1]}
            ends = [edge for edge in ends if edge[0] != edge[1]] + sorted(loops)
        if case.options.get("order") == "sequential":  # PyG's LSTM wants them sorted
            ends = sorted(ends, key=lambda edge: edge[1])
        self.edges = torch.tensor(ends, dtype=torch.long).view(-1, 2).t().contiguous()
        num_edges, (n, m) = self.edges.size(1), self.size
        src, dst = self.edges
        shape = (2, n, WIDTH) if case.features == "static" else (n, WIDTH)
        self.x: Any = rand(*shape) * 2 - 1
        if case.features == "pair":
            self.x = self.x, rand(m, WIDTH)
        elif case.features != "x" and case.features != "static":
            self.x = self.x, None
        self.weight = {
            "none": lambda: None,
            "products": lambda: (rand(n) + 0.1)[src] * (rand(m) + 0.1)[dst],
            "random": lambda: rand(num_edges) + 0.1,
            "negative": lambda: rand(num_edges) - 0.5,
            "zeros": lambda: (rand(num_edges) > 0.5).to(case.dtype),
            "ones": lambda: torch.ones(num_edges, dtype=case.dtype),
            "whole": lambda: torch.full((num_edges,), 2),
            "bool": lambda: torch.ones(num_edges, dtype=torch.bool),
            "column": lambda: rand(num_edges, 1) + 0.1,
            "learned": lambda: (rand(num_edges) + 0.1).requires_grad_(),
            "double": lambda: rand(num_edges).double() + 0.1,
        }[case.weights]()
        self.attr = rand(num_edges, 1)
        self.type = torch.randint(0, 2, (num_edges,), generator=generator)

    def known(self, case):
        """What layers may take besides features and the graph, by name."""
        weight = self.weight if case.form in ("edges", "EdgeIndex") else None
        values = {
            "edge_weight": weight,
            "edge_attr": self.attr if case.has_attr else None,
            "edge_type": self.type,
            "size": self.size if case.features == "pair without destinations" else None,
        }
        if case.form not in ("edges", "EdgeIndex"):  # in the order of a matrix
            values = {"size": values["size"]}
        return {key: value for key, value in values.items() if value is not None}

    def graph(self, case):
        """The graph as PyG takes it."""
        num_src, num_dst = self.size
        if case.form == "edges":
            return self.edges
        if case.form == "EdgeIndex":
            from torch_geometric import EdgeIndex

            return EdgeIndex(self.edges, sparse_size=self.size)
        weight = self.weight
        if case.form == "SparseTensor":
            from torch_sparse import SparseTensor

            src, dst = self.edges
            return SparseTensor(
                row=dst, col=src, value=weight, sparse_sizes=(num_dst, num_src)
            )
        if weight is None:
            weight = torch.ones(self.edges.size(1), dtype=case.dtype)
        weight = weight.view(-1)
        if case.form == "csr":
            size = num_src, num_dst
            return (
                to_torch_csr_tensor(self.edges, weight, size=size).t().to_sparse_csr()
            )
        if weight is None:
            weight = torch.ones(self.edges.size(1), dtype=case.dtype)
        size = num_dst, num_src
        return torch.sparse_coo_tensor(self.edges.flip(0), weight, size).coalesce()


class Model(nn.Module):
    """Layers, one after the other, with an activation in between."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        torch.manual_seed(case.seed)
        made = []
        for cls, kwargs in case.layers:
            kwargs = {k: v() if inspect.isfunction(v) else v for k, v in kwargs.items()}
            made.append(cls(**kwargs))
        self.convs = nn.ModuleList(made)
        self.names = [
            [*inspect.signature(c.forward).parameters] for c, _ in case.layers
        ]

    def forward(self, x: Any, graph: Any, **known: Any) -> Any:
        first = x
        for i, (conv, names) in enumerate(zip(self.convs, self.names, strict=True)):
            args = {k: v for k, v in known.items() if k in names}
            for name in names:
                if name in ("x", "y"):
                    args[name] = x
                elif name == "x_0":
                    args[name] = first
                elif name.endswith("edge_index"):
                    args[name] = graph
            x = conv(**args)
            if i + 1 < len(self.convs):
                x = x[..., :WIDTH].relu() if i % 2 else x[..., :WIDTH].tanh()
        return x


# Runs #########################################################################


def hag_of(case: Case, inputs: Inputs, graph: Any) -> Any:
    """The HAG of a case, by one of the ways that lead to one."""
    options = case.options
    if case.form not in ("edges", "EdgeIndex"):
        hag = build_hag(graph, **options)
        return pickle.loads(pickle.dumps(hag)) if case.route == "pickled" else hag
    if case.route == "build_hag" or case.graph == "bipartite":
        return build_hag(inputs.edges, size=inputs.size, **options)
    known = {}
    if case.route == "removed":
        known["remove_edge_index"] = True
    data = Data(edge_index=inputs.edges, num_nodes=inputs.size[0])
    data = HAGTransform(**options, **known)(data)
    if case.route == "batch":
        data = Batch.from_data_list([data, data])[1]
    if case.route == "pickled":
        data = pickle.loads(pickle.dumps(data))
    return data.hag


def run(case: Case) -> Outcome:
    """Compares a case with PyG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = _made(case)
            inputs = Inputs(case)
            graph = inputs.graph(case)
            expected = results(case, model, inputs, graph, None)
        except Exception as error:
            return Outcome("not in PyG", f"{type(error).__name__}: {error}"[:200])
        try:
            inputs = Inputs(case)
            hag = hag_of(case, inputs, inputs.graph(case))
            if case.mode == "quantized":
                return _quantized(case, _made(case), inputs, hag, expected)
            found = results(case, _made(case), inputs, hag, graph)
        except Exception as error:
            reason = refusal(error)
            if reason is not None:
                return Outcome("refused", reason)
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error}"[:300]
            return Outcome("fault", f"{text} ({frame.filename}:{frame.lineno})")
    factor = 1e4 if any(cls in SINGLE for cls, _ in case.layers) else 1.0
    if isinstance(expected, tuple) and not _is_finite(expected):
        found, expected = found[0], expected[0]  # gradients are NaN where they meet
    text = difference(found, expected, factor=factor)
    if text is not None and case.form not in ("edges", "EdgeIndex"):
        text = text if not _equal_on_edges(case, found, factor) else None
    if text is None or _is_rounding(case):
        return Outcome("equal", "")
    return Outcome("fault", text)


def _is_finite(value):
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        value = [*value.values()]
    return all(map(_is_finite, value)) if isinstance(value, list | tuple) else True


def _equal_on_edges(case, found, factor):
    """Whether PyG gives this on edges, where it differs between them and a matrix.

    Layers that add self-loops do so if there are loops, or nodes without edges.
    """
    if case.weights not in ("none", "ones", "whole", "bool"):
        return False
    case = case._replace(form="edges", weights="none", has_attr=False)
    inputs = Inputs(case)
    try:
        expected = results(case, _made(case), inputs, inputs.edges, None)
    except Exception:
        return False
    return difference(found, expected, factor=factor) is None


def _is_rounding(case):
    """Whether a difference vanishes in double precision."""
    if case.dtype == torch.float64:
        return False
    return run(case._replace(dtype=torch.float64)).kind != "fault"


def _made(case):
    model = Model(case).to(case.dtype)
    return model.train(case.mode in ("train", "grad of grad", "compiled train"))


def results(case: Case, model: Model, inputs: Inputs, graph: Any, plain: Any) -> Any:
    """Outputs and gradients; on a HAG if a graph to compare with is given."""
    mode, known = case.mode, inputs.known(case)
    if plain is not None:
        model = _prepared(mode, model)
        graph = plain if mode == "from_hag" else graph
    if mode.startswith("compiled"):
        model = torch.compile(model, backend="aot_eager")
        torch.compiler.reset()
    is_pair = isinstance(inputs.x, tuple)
    x = inputs.x[0] if is_pair else inputs.x

    def forward(x: Tensor) -> Any:
        torch.manual_seed(case.seed)
        return model((x, inputs.x[1]) if is_pair else x, graph, **known)

    if mode == "quantized":
        with torch.no_grad():
            return forward(x)
    if mode in ("inference", "evaluated first"):
        with torch.inference_mode():
            out = forward(x).clone()
        if mode == "inference":
            return out
    elif mode == "jvp":
        return torch.func.jvp(forward, (x,), (torch.ones_like(x),))
    elif mode == "vmap":
        return torch.func.vmap(forward)(torch.stack([x, -x]))
    elif mode == "eval":
        with torch.no_grad():
            return forward(x)
    x = x.clone().requires_grad_()
    out = forward(x)
    leaves = {"x": x} | {k: v for k, v in model.named_parameters() if v.requires_grad}
    if inputs.weight is not None and inputs.weight.requires_grad:
        leaves["weight"] = inputs.weight
    total = (out * torch.linspace(0.5, 1.5, out.numel()).view(out.shape).to(out)).sum()
    if mode == "grad of grad":
        (grad,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True)
        if grad is None or not grad.requires_grad:
            return out, grad
        total = grad.pow(2).sum()
    found = torch.autograd.grad(
        total, [*leaves.values()], allow_unused=True, materialize_grads=True
    )
    names = [name.removeprefix("_orig_mod.") for name in leaves]
    buffers = {k: v for k, v in model.named_buffers() if "_orig" not in k}
    return out.detach(), dict(zip(names, found, strict=True)), buffers


def _prepared(mode: str, model: Any) -> Any:
    """The model that takes a HAG."""
    if mode == "inplace":
        return to_hag(model, inplace=True)
    fast = to_hag(model)
    if mode == "from_hag":
        return from_hag(fast)
    if mode == "copied":
        file = io.BytesIO()
        torch.save(fast, file)
        file.seek(0)
        return torch.load(file, weights_only=False)
    if mode == "state_dict":
        fast.load_state_dict(model.state_dict())
    return fast


def _quantized(case, model, inputs, hag, expected):
    """A calibrated model and its INT8 model, on the HAG and on the edges."""
    config = DegreeQuantConfig(ranges="minmax", protect=False)
    known = inputs.known(case)
    try:
        quantized = calibrate(_Bound(model, known), [(inputs.x, hag)], config)
    except ValueError as error:
        names = "cannot be quantized", "quantized layers need", "must have shape [N, F]"
        if any(name in str(error) for name in names):
            return Outcome("refused", "quantization")
        raise
    fast = convert(quantized, (inputs.x, hag))
    graph = inputs.graph(case)
    with torch.no_grad():
        on_hag, on_edges = (quantized(inputs.x, g) for g in (hag, graph))
        int8, int8_on_edges = (fast(inputs.x, g) for g in (hag, graph))
    for name, got, wanted, allowed in (
        ("quantized on edges", on_edges, on_hag, 1e-4),
        ("INT8 on edges", int8_on_edges, int8, 1e-4),
        ("quantized", on_hag, expected, 0.3),
        ("INT8", int8, on_hag, 0.1),
    ):
        if got.shape != wanted.shape:
            return Outcome("fault", f"{name}: shape {got.shape}, not {wanted.shape}")
        if got.numel() == 0:
            continue
        error = (got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-2)
        if not error <= allowed:
            return Outcome("fault", f"{name}: off by {float(error):.3g} of the largest")
    return Outcome("equal", "")


class _Bound(nn.Module):
    """A model that is called with the same further arguments each time."""

    def __init__(self, model, known):
        super().__init__()
        self.model = model
        self.known = known

    def forward(self, x, graph):
        return self.model(x, graph, **self.known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--show", action="store_true", help="every case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin, counts, reasons = time.time(), Counter(), Counter()
    for seed in range(options.first, options.first + options.cases):
        case = case_of(seed, options.compiled)
        outcome = run(case)
        counts[outcome.kind] += 1
        if outcome.kind == "refused":
            reasons[outcome.reason] += 1
        if outcome.kind == "fault" or options.show:
            print(case, "->", *outcome, flush=True)
    print(f"{options.cases} cases in {time.time() - begin:.0f} s: {dict(counts)}")
    for reason, number in reasons.most_common():
        print(f"  refused: {number:5} {reason}")


if __name__ == "__main__":
    main()
