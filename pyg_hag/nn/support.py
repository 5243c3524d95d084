"""Which modules of a model support HAGs, and why others do not."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch_geometric.nn import MessagePassing

from pyg_hag.nn.layer_table import MIXINS, UNSUPPORTED
from pyg_hag.nn.mixins.checks import PER_EDGE_METHODS, replaced_method
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.own_layers import OwnLayerMixin, message_input
from pyg_hag.utils.html import html_table
from pyg_hag.utils.tables import text_table

GRAPH_ARGUMENTS = ("edge_index", "hyperedge_index", "adj", "adj_t")
"""Arguments of PyG's modules that can be a HAG."""
_POOLING_PACKAGES = ("torch_geometric.nn.pool", "torch_geometric.nn.unpool")
_SHARED = HAGMessagePassing.runs_of
_POOLING = ("GraphUNet", "SAGPooling", "PANPooling", "ASAPooling", "EdgePooling")


@dataclass(frozen=True)
class Support:
    """Whether a module supports HAGs.

    Attributes:
        name (str): Its name in the model, `""` for the model itself.
        layer (str): Its class.
        reason (str): Why it does not support HAGs; empty if it does.
        runs (str): What it does on a HAG. `"shared"`: sums that several nodes need are
            computed once. `"fused"`: every edge is computed, but nothing is kept for
            any. `"edges"`: PyG's own code, on the edges that the HAG represents.
        why (str): Why it does so.
    """

    name: str
    layer: str
    reason: str
    runs: str = "shared"
    why: str = ""

    @property
    def supported(self) -> bool:
        """Whether the module runs on a HAG, without its edges."""
        return not self.reason


class SupportTable(list[Support]):
    """One row for each layer; prints as a table."""

    def __str__(self) -> str:
        return text_table(self._rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table("", self._rows())

    def _rows(self) -> list[list[str]]:
        header = ["module", "layer", "runs", "why"]
        return [header, *([s.name or "(model)", s.layer, s.runs, s.why] for s in self)]


def hag_support(model: nn.Module) -> SupportTable:
    """Lists the layers of a model: what each does on a HAG, and why.

    Args:
        model (torch.nn.Module): Any module.

    Returns:
        list[Support]: One entry for each layer; prints as a table.

    Raises:
        TypeError: If `model` is not a module.
    """
    check_module(model)
    table, seen = SupportTable(), list[str]()
    for name, module in model.named_modules():
        if any(name.startswith(f"{other}.") for other in seen):
            continue  # inside a layer
        original = _original(module)
        container = not isinstance(original, MessagePassing) and _has_layers(original)
        if needs_edges(original) or (_is_layer(original) and not container):
            table.append(_support(name, original))
            if not _has_layers(original) or needs_edges(original):
                seen.append(name)
    return table


def _support(name: str, module: nn.Module) -> Support:
    layer, reason = type(module).__name__, _module_reason(module) or ""
    if reason:
        return Support(name, layer, reason, "edges", reason)
    runs_of: Any = getattr(mixin_of(type(module)), "runs_of", _SHARED)
    return Support(name, layer, "", *runs_of(module))


def check_module(model: object) -> None:
    """Checks that a model is a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"'model' must be a torch.nn.Module (got {type(model).__name__})"
        )


def mixin_of(cls: type, table: dict[type, type] = MIXINS) -> type | None:
    """The mix-in of a class of layers in a table, or None if it has none.

    Layers of users have one, too, if their messages are those of a layer in the table.
    """
    found = next((table[base] for base in cls.__mro__ if base in table), None)
    if found is None and table is MIXINS and message_input(cls) is not None:
        return OwnLayerMixin
    return found


def pyg_class_of(module: nn.Module) -> type | None:
    """The class that a converted module had before, or None for others."""
    cls: type | None = getattr(type(module), "pyg_class", None)
    return cls


def unsupported_reason(module: nn.Module) -> str | None:
    """Why a layer does not support HAGs; None if it does, or if it is not a layer."""
    cls = type(module)
    if isinstance(module, HAGMessagePassing):
        return module.unsupported_reason(module)
    mixin = mixin_of(cls)
    if mixin is not None:
        own = mixin is OwnLayerMixin
        method = None if own else _overridden_method(cls)
        method = method or replaced_method(module)
        if method is not None:
            return f"it overrides '{method}'"
        reason_of: Any = getattr(mixin, "unsupported_reason", None)
        return None if reason_of is None else reason_of(module)
    if isinstance(module, MessagePassing) or cls.__name__ in UNSUPPORTED:
        return UNSUPPORTED.get(cls.__name__, "it defines its own messages")
    return None


def needs_edges(module: nn.Module) -> bool:
    """Whether a module of PyG needs the edges of a graph."""
    if _changes_graph(module):
        return True
    if mixin_of(type(module)) is not None and unsupported_reason(module) is None:
        return False
    if isinstance(module, MessagePassing):
        return True
    is_conv = type(module).__module__.startswith("torch_geometric.nn.conv")
    return is_conv and not _has_layers(module) and _takes_graph(type(module))


@functools.cache
def forward_parameters(cls: type) -> tuple[str, ...]:
    """Names of the parameters of `forward`, including `self`."""
    try:
        return tuple(inspect.signature(cls.forward).parameters)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return ()


def edges_reason(module: nn.Module) -> str:
    """Why a converted module gets the edges of a HAG; empty if it does not."""
    return _module_reason(_original(module)) or ""


def _original(module: nn.Module) -> nn.Module:
    """The module as an instance of PyG's class, to be inspected."""
    cls = pyg_class_of(module)
    if cls is None:
        return module
    other: nn.Module = object.__new__(cls)
    other.__dict__.update(module.__dict__)
    return other


def _module_reason(module: nn.Module) -> str | None:
    if _changes_graph(module):
        return "it changes the graph"
    return unsupported_reason(module)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, MessagePassing) or mixin_of(type(module)) is not None


def _has_layers(module: nn.Module) -> bool:
    return any(_is_layer(child) for child in module.modules() if child is not module)


def _changes_graph(module: nn.Module) -> bool:
    """Whether a module of PyG pools the graph instead of passing it on."""
    cls = type(module)
    if cls.__module__.startswith(_POOLING_PACKAGES) or cls.__name__ in _POOLING:
        return _takes_graph(cls)
    return False


def _takes_graph(cls: type) -> bool:
    return any(name in forward_parameters(cls) for name in GRAPH_ARGUMENTS)


def _overridden_method(cls: type) -> str | None:
    """A method that a class outside PyG overrides, so that its mix-in does not fit."""
    for base in cls.__mro__:
        if base.__module__.startswith("torch_geometric."):
            break
        for name in ("forward", "propagate", *PER_EDGE_METHODS):
            method = base.__dict__.get(name)
            compiled = base.__dict__.get("_jinja_propagate")  # by PyG
            if method is not None and not (name == "propagate" and method is compiled):
                return name
    return None
