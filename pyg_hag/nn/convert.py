"""Converts models of PyG's layers: the same modules with the same parameters."""

import warnings
from typing import Any

import torch
from torch import nn

from pyg_hag.nn.copying import change_in_place, changed_copy
from pyg_hag.nn.layer_classes import (
    edge_layer_class,
    hag_layer_class,
    model_class,
)
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.models import MODELS
from pyg_hag.nn.support import (
    Support,
    check_module,
    hag_support,
    mixin_of,
    needs_edges,
    pyg_class_of,
)

_SHOWN = 20  # layers in a message


def to_hag(
    model: nn.Module, *, strict: bool = False, inplace: bool = False
) -> nn.Module:
    r"""Converts a model to one that accepts a HAG in place of an `edge_index`.

    Every PyG layer in it that supports HAGs runs over the HAG (see
    :func:`hag_support`); the others get the edges that the HAG represents. Outputs and
    gradients are those of the original model. An `edge_index` still works.

    Parameters and buffers are shared with the original, not copied, and so are the
    modules without layers, such as dropout and batch norm: `train()` and `eval()` of
    one model switch these in the other. To have one model only, use `inplace=True`.

    .. code-block:: python

        model = GCN(64, 64, num_layers=2)
        fast = to_hag(model)
        out = fast(data.x, data.hag)  # model(data.x, data.edge_index)

    A layer of your own shares sums if its `message` returns `x_j` and its `forward`
    does nothing with the graph but pass it to `propagate`. A model of which no layer
    can share is converted with a warning that names the layers and the reasons.

    Args:
        model (torch.nn.Module): Any module that contains PyG layers, such as
            `torch_geometric.nn.Sequential`, PyG's models, `HeteroConv`, the result of
            `to_hetero`, or a single layer.
        strict (bool): Whether to refuse a model with layers that do not support HAGs.
            (default: :obj:`False`)
        inplace (bool): Whether to convert the layers of `model` itself.
            (default: :obj:`False`)

    Returns:
        torch.nn.Module: A model of the same class, with layers of derived classes, or
        `model` itself if `inplace` is set. :func:`from_hag` converts it back.

    Raises:
        TypeError: If `model` is not a module.
        ValueError: If it contains no PyG layer; if it was compiled by TorchScript or,
            unless `inplace` is set, by `model.compile()`; if `forward` of a layer is
            replaced on the instance; or if `strict` is set and some of its layers do
            not support HAGs. The message names the layers.
    """
    table = hag_support(model)
    if not table:
        raise ValueError(
            f"'model' contains no layer of PyG (got {type(model).__name__}), so there "
            f"is nothing to convert"
        )
    others = [support for support in table if not support.supported]
    if strict and others:
        raise ValueError(
            f"'model' has layers that do not support HAGs; pass 'strict=False' to run "
            f"them on the edges:\n  {_listed(others)}"
        )
    _check_convertible(model)
    if len(others) == len(table):
        warnings.warn(
            f"no layer of 'model' can share sums: on a HAG, it runs on the edges and "
            f"is no faster. Layers of your own share if 'message' returns 'x_j' and "
            f"'forward' passes the graph to 'propagate' alone.\n  {_listed(others)}",
            stacklevel=2,
        )
    return (change_in_place if inplace else changed_copy)(model, hag_class_of)


def _listed(table: list[Support]) -> str:
    rows = [f"{s.name or '(model)'} ({s.layer}): {s.reason}" for s in table[:_SHOWN]]
    left = len(table) - len(rows)
    return "\n  ".join([*rows, f"and {left} more"] if left else rows)


def from_hag(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """Converts the result of :func:`to_hag` back, with the same parameters.

    Args:
        model (torch.nn.Module): A model whose layers accept HAGs.
        inplace (bool): Whether to convert the layers of `model` itself.
            (default: :obj:`False`)

    Returns:
        torch.nn.Module: The model of PyG's own layers.

    Raises:
        TypeError: If `model` is not a module.
        ValueError: If it was compiled by `model.compile()`, unless `inplace` is set.
    """
    check_module(model)
    return (change_in_place if inplace else changed_copy)(model, pyg_class_of)


def hag_class_of(module: nn.Module) -> type | None:
    """The class that a module becomes to take HAGs, or None if it keeps its own."""
    cls: Any = type(module)
    if pyg_class_of(module) is not None or isinstance(module, HAGMessagePassing):
        return None
    if needs_edges(module):
        return edge_layer_class(cls)
    if mixin_of(cls) is not None:
        return hag_layer_class(cls)
    return model_class(cls) if mixin_of(cls, MODELS) is not None else None


def _check_convertible(model: nn.Module) -> None:
    """Checks that other classes of the layers would be used at all."""
    for name, module in model.named_modules():
        shown = f"{name or '(model)'!r} ({type(module).__name__})"
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{shown} is TorchScript, which cannot be converted: use 'to_hag' on "
                f"the Python module, and 'torch.compile' or 'torch.jit.trace' after it"
            )
        if "forward" in module.__dict__ and hag_class_of(module) is not None:
            raise ValueError(
                f"{shown} has a 'forward' of its own, set on the instance, which would "
                f"get a HAG: override it in a derived class, or remove it"
            )
