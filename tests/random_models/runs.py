"""Runs a case with PyG and on a HAG."""

import io
import pickle
import traceback
import warnings
from typing import Any, NamedTuple

import torch
from pyg_suite.comparison import difference
from pyg_suite.refusals import refusal
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_hag import HAGTransform, build_hag, from_hag, to_hag
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert
from random_models.cases import Case
from random_models.inputs import Inputs, Model
from random_models.layers import SINGLE


class Outcome(NamedTuple):
    """How a case ended: `equal`, `refused`, `not in PyG` or `fault`."""

    kind: str
    reason: str


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
