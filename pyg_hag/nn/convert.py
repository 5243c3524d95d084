"""Converts models of PyG's layers: the same modules with the same parameters."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from pyg_hag.nn.layer_classes import edge_layer_class, hag_layer_class
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.support import (
    check_module,
    hag_support,
    mixin_of,
    needs_edges,
    pyg_class_of,
)


def to_hag(model: nn.Module, *, strict: bool = False) -> nn.Module:
    r"""Converts a model to one that accepts a HAG in place of an `edge_index`.

    Every PyG layer in it that supports HAGs runs over the HAG (see
    :func:`hag_support`); the others get the edges that the HAG represents. Outputs and
    gradients are those of the original model. Parameters and buffers are shared with
    it, not copied, and modules without layers are the same objects. An `edge_index`
    still works.

    .. code-block:: python

        model = GCN(64, 64, num_layers=2)
        fast = to_hag(model)
        out = fast(data.x, data.hag)  # model(data.x, data.edge_index)

    Args:
        model (torch.nn.Module): Any module that contains PyG layers, such as
            `torch_geometric.nn.Sequential`, PyG's models, `HeteroConv`, the result of
            `to_hetero`, or a single layer.
        strict (bool): Whether to refuse a model with layers that do not support HAGs.

    Returns:
        torch.nn.Module: A model of the same class, with layers of derived classes.
        :func:`from_hag` converts it back.

    Raises:
        TypeError: If `model` is not a module.
        ValueError: If it contains no PyG layer, or if `strict` is set and some of its
            layers do not support HAGs; the message names each of them and why.
    """
    table = hag_support(model)
    if not table:
        raise ValueError(
            f"'model' contains no layer of PyG (got {type(model).__name__}), so there "
            f"is nothing to convert"
        )
    if strict and not all(support.supported for support in table):
        rows = [
            f"{s.name or '(model)'} ({s.layer}): {s.reason}"
            for s in table
            if not s.supported
        ]
        listed = "\n  ".join(rows)
        raise ValueError(
            f"'model' has layers that do not support HAGs; pass 'strict=False' to run "
            f"them on the edges:\n  {listed}"
        )
    return _convert(model, _hag_class, {})


def from_hag(model: nn.Module) -> nn.Module:
    """Converts the result of :func:`to_hag` back, with the same parameters.

    Args:
        model (torch.nn.Module): A model whose layers accept HAGs.

    Returns:
        torch.nn.Module: The model of PyG's own layers.

    Raises:
        TypeError: If `model` is not a module.
    """
    check_module(model)
    return _convert(model, pyg_class_of, {})


def _hag_class(module: nn.Module) -> type | None:
    """The class that a module becomes, or None if it keeps its own."""
    cls: Any = type(module)
    if pyg_class_of(module) is not None or isinstance(module, HAGMessagePassing):
        return None
    if needs_edges(module):
        return edge_layer_class(cls)
    return hag_layer_class(cls) if mixin_of(cls) is not None else None


def _convert(
    module: nn.Module,
    class_of: Callable[[nn.Module], type | None],
    done: dict[int, nn.Module],
) -> nn.Module:
    """The module with other classes in it, or the same object if nothing changes.

    Args:
        module: The module.
        class_of: Gives the new class of a module, or None if it keeps its own.
        done: The modules that are converted already, by the id of the original, so
            that a module in two places stays one.
    """
    if id(module) in done:
        return done[id(module)]
    cls = class_of(module)
    children = {
        name: child if child is None else _convert(child, class_of, done)
        for name, child in module._modules.items()
    }
    changed = any(children[name] is not module._modules[name] for name in children)
    if cls is None and not changed:
        done[id(module)] = module
        return module
    other: nn.Module = object.__new__(cls or type(module))
    for name, value in module.__dict__.items():
        if name.endswith("_hooks") or name == "_modules":
            value = value.copy()
        elif inspect.ismethod(value) and value.__self__ is module:
            value = value.__func__.__get__(other)
        other.__dict__[name] = value
    other._modules.update(children)
    if isinstance(other, HAGMessagePassing):
        other._set_jittable_templates()
    done[id(module)] = other
    return other
