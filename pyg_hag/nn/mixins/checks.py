"""Checks of a layer and a HAG: does it need messages, do the sizes match?"""

import functools
import inspect
import warnings
from typing import Any, NoReturn

import torch

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.aggregation import reduction_of
from pyg_hag.ops.paths import EXTREMES, NOT_OVER_COVERS

PER_EDGE_METHODS = (
    *("message", "aggregate", "message_and_aggregate", "update", "edge_update"),
)
"""The methods of a layer that PyG calls with messages, and a HAG does not."""

_HOOKS = (
    "_propagate_forward_pre_hooks",
    "_propagate_forward_hooks",
    "_message_forward_pre_hooks",
    "_message_forward_hooks",
    "_aggregate_forward_pre_hooks",
    "_aggregate_forward_hooks",
    "_message_and_aggregate_forward_pre_hooks",
    "_message_and_aggregate_forward_hooks",
    "_edge_update_forward_pre_hooks",
    "_edge_update_forward_hooks",
)


def check_shareable(conv: Any) -> None:
    """Checks that a layer does not need messages, which a HAG does not have.

    Raises:
        ValueError: If the layer is being explained, has hooks, or overrides a method
            of :data:`PER_EDGE_METHODS`.
    """
    name = type(conv).__name__
    if conv._explain:
        raise ValueError(
            f"'{name}' cannot be explained on a HAG, which has no messages per edge: "
            f"explain the original model on its 'edge_index'"
        )
    for hooks in _HOOKS:
        if getattr(conv, hooks):
            raise ValueError(
                f"'{name}' has hooks ('{hooks}'), which a HAG cannot call: remove them "
                f"or pass 'edge_index'"
            )
    method = overridden_method(type(conv)) or replaced_method(conv)
    if method is not None:
        raise ValueError(
            f"'{name}' overrides '{method}', which a HAG does not call: pass "
            f"'edge_index' instead"
        )


def overridden_method(cls: type) -> str | None:
    """The first of :data:`PER_EDGE_METHODS` that is not PyG's own, or None."""
    shared = getattr(cls, "shared_methods", ())  # that do what PyG's own do
    for name in PER_EDGE_METHODS:
        if name in shared and getattr(cls, name) is getattr(cls.pyg_class, name):  # type: ignore[attr-defined]
            continue
        if not getattr(cls, name).__module__.startswith("torch_geometric."):
            return name
    return None


def replaced_method(module: Any) -> str | None:
    """The first method of a layer that is set on the instance, or None.

    Of those that PyG calls, except for the `propagate` that PyG sets itself.
    """
    for name in ("forward", "propagate", *PER_EDGE_METHODS):
        if name in module.__dict__ and not (
            name == "propagate" and has_pyg_propagate(module)
        ):
            return name
    return None


def has_pyg_propagate(module: Any) -> bool:
    """Whether PyG has set `propagate` on the instance, as explanations make it do."""
    method = module.__dict__.get("propagate")
    function = getattr(method, "__func__", None)
    if function is None:
        return False
    if function.__module__.startswith(("torch_geometric.", "pyg_hag.")):
        return True
    return any(
        function is base.__dict__.get(name)
        for base in type(module).__mro__
        for name in ("propagate", "_orig_propagate", "_jinja_propagate")
    )


def used_weights(conv: Any, hag: AbstractHAG) -> AbstractHAG:
    """The HAG, without weights that the layer ignores.

    As PyG's layers that take no `edge_weight` ignore the values of a `SparseTensor`,
    and those of sparse tensors where they do not multiply by the matrix.

    Raises:
        ValueError: If several paths are one edge, and the layer's result is not that of
            the edges.
    """
    if hag.of_paths:
        return checked_paths(conv, hag)
    weights = hag.weights
    if weights is None or takes_edge_weight(conv.__class__):
        return hag
    multiplies = conv.aggr in ("add", "sum", "mean", "max", "min")
    return hag if multiplies and not weights.is_optional else hag.unweighted


def checked_paths(conv: Any, hag: AbstractHAG) -> AbstractHAG:
    """The HAG that a layer runs on, after checking what several of its paths are.

    A layer without `edge_weight` runs on the paths that a HAG counts if it takes maxima
    or minima of them, for which counts make no difference.

    Raises:
        ValueError: If the layer's result is not that of the edges.
    """
    name = type(conv).__name__
    if hag.is_cover and not takes_extremes(conv):
        raise ValueError(f"'edge_index' of '{name}' {NOT_OVER_COVERS}")
    if hag.is_count and not takes_edge_weight(conv.__class__):
        check_counts(conv, hag)
        return hag.covered
    return hag


def check_counts(conv: Any, hag: AbstractHAG) -> None:
    """Checks that the numbers of paths make no difference to a layer without weights.

    Raises:
        ValueError: If the HAG counts paths, and the layer takes sums of them.
    """
    if hag.is_count and not takes_extremes(conv):
        raise ValueError(
            f"'{type(conv).__name__}' takes no 'edge_weight', but this HAG counts "
            f"paths, so that its sums would too: build it without weights "
            f"(HAGMetaPaths(weighted=False), build_hag_of_product(..., weighted=False))"
        )


def takes_extremes(conv: Any) -> bool:
    """Whether all reductions of a layer are maxima and minima."""
    names = getattr(conv, "aggregators", None)  # of `EGConv`
    if names is None:
        module = getattr(conv, "aggr_module", None)
        parts = getattr(module, "aggrs", [module])
        names = [reduction_of(part) for part in parts]
    return {*names} <= EXTREMES


def refuse_weights(conv: Any, hag: AbstractHAG) -> AbstractHAG:
    """Checks that a HAG has no weights, which PyG's layer would use in its own way.

    Returns:
        HAG: The HAG that the layer runs on; see :func:`checked_paths`.
    """
    if hag.of_paths:
        return checked_paths(conv, hag)
    if hag.weights is not None:
        raise ValueError(
            f"'{type(conv).__name__}' does not take a HAG with weights of its edges: "
            f"pass 'hag.unweighted', or the matrix that it was built from"
        )
    return hag


def warn_of_unread_weights(conv: Any) -> None:
    """Warns that data has one number per edge, which a layer with weights leaves out.

    Once for each class of layers that takes an `edge_weight`.
    """
    cls: type = conv.__class__
    if takes_edge_weight(cls):
        _warn_of_unread_weights(cls.__name__)


@torch.compiler.assume_constant_result  # so that it also warns where this is compiled
def _warn_of_unread_weights(name: str) -> None:
    _warn_once(name)


@functools.cache
def _warn_once(name: str) -> None:
    warnings.warn(
        f"'{name}' takes an 'edge_weight', but got none, while 'edge_attr' of the data "
        f"holds one number per edge, as transforms such as 'GDC' leave it: pass "
        f"'data.edge_attr' to the layer, and use 'HAGTransform(attr=\"edge_attr\")'",
        stacklevel=2,
    )


@torch.compiler.assume_constant_result
def takes_edge_weight(cls: type) -> bool:
    """Whether `forward` of a class of layers has an argument `edge_weight`."""
    return _takes_edge_weight(cls)


@functools.cache
def _takes_edge_weight(cls: type) -> bool:
    return any(
        "edge_weight" in inspect.signature(base.__dict__["forward"]).parameters
        for base in cls.__mro__
        if "forward" in base.__dict__
    )


def refuse_torchscript(module: Any) -> NoReturn:
    """The error of `torch.jit.script`."""
    raise NotImplementedError(
        f"'{type(module).__name__}' cannot be TorchScript, which does not know HAGs: "
        f"use 'torch.compile' or 'torch.jit.trace', or script 'from_hag(model)'"
    )


def check_size(hag: AbstractHAG, num_src: int | None, num_dst: int | None) -> None:
    """Checks numbers of sources and destinations, where they are known."""
    for got, wanted, name in (
        (num_src, hag.num_src, "sources"),
        (num_dst, hag.num_dst, "destinations"),
    ):
        if got is not None and got != wanted:
            raise ValueError(
                f"'x' or 'size' has {got} {name}, but the HAG has {wanted}: was the "
                f"HAG built with the right 'num_nodes' or 'size'?"
            )


def check_sources(hag: AbstractHAG, num_src: int) -> None:
    """Checks that there are features for every source."""
    check_size(hag, num_src, None)


def check_square(conv: Any, hag: AbstractHAG) -> None:
    """Checks that a HAG has the same number of sources and destinations."""
    if hag.num_src != hag.num_dst:
        raise ValueError(
            f"'{type(conv).__name__}' needs as many sources as destinations (got "
            f"{hag.num_src} and {hag.num_dst})"
        )
