"""Classes of layers that accept a HAG, generated from PyG's by mix-ins."""

import copyreg
import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as nn_pyg

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.conv import HAGEGConv, HAGGCNConv, HAGGINConv, HAGSAGEConv
from pyg_hag.nn.mixins.checks import check_counts, refuse_torchscript
from pyg_hag.nn.mixins.display import noted
from pyg_hag.nn.mixins.edges import dtype_of, to_edges
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, install_propagate
from pyg_hag.nn.models import MODELS
from pyg_hag.nn.own_layers import OwnLayerMixin, message_input
from pyg_hag.nn.support import (
    GRAPH_ARGUMENTS,
    edges_reason,
    forward_parameters,
    mixin_of,
)

_NAMED: dict[type, type] = {
    cls.pyg_class: cls for cls in (HAGEGConv, HAGGCNConv, HAGGINConv, HAGSAGEConv)
}
"""The layers that have a public class, by PyG's class."""


@functools.cache
def hag_layer_class(cls: type) -> type:
    """The class of a supported layer that accepts a HAG.

    Args:
        cls: PyG's class, or a class derived from it.
    """
    if cls in _NAMED:
        return _NAMED[cls]
    mixin = mixin_of(cls)
    assert mixin is not None
    made = make_layer(f"HAG{cls.__name__}", mixin, cls, hag_layer_class)
    if issubclass(made, OwnLayerMixin):
        made.message_input = message_input(cls)
    return made


@functools.cache
def model_class(cls: type) -> type:
    """The class of a model that looks into the graph itself, and then into a HAG.

    Args:
        cls: A class of :data:`pyg_hag.nn.models.MODELS`, or derived from one.
    """
    mixin = mixin_of(cls, MODELS)
    assert mixin is not None
    made: type = _make(f"HAG{cls.__name__}", mixin, cls, model_class)
    return made


@functools.cache
def edge_layer_class(cls: type) -> type:
    """The class of an unsupported module that replaces a HAG by its edges."""
    made: type = _make(f"Edges{cls.__name__}", _EdgeMixin, cls, edge_layer_class)
    if issubclass(cls, nn_pyg.GCN2Conv):  # changes what `propagate` returns in place
        made.propagate = _copying(cls.propagate)  # type: ignore[attr-defined]
    return made


def make_layer(
    name: str, mixin: type, cls: Any, made_by: Callable[[type], type]
) -> type:
    """Derives a class of layers from a mix-in and a class, in this order.

    Args:
        name: Name of the new class.
        mixin: The mix-in; if it is a :class:`HAGMessagePassing`, `propagate` of the new
            class accepts HAGs.
        cls: The class of layers.
        made_by: The function that makes this class from `cls`: pickled instances call
            it to find their class.
    """
    made: type = _make(name, mixin, cls, made_by)
    if issubclass(mixin, HAGMessagePassing):
        made._edge_propagate = cls.propagate  # type: ignore[attr-defined]
        install_propagate(made)
    return made


class _GeneratedClass(type):
    """The metaclass of generated classes, which pickle finds by their origin."""


def _reduce_class(cls: type) -> Any:
    made_by = cls.__dict__.get("_made_by")
    if made_by is None:  # a class derived from a generated one
        return cls.__qualname__
    return made_by.__func__, (cls.pyg_class,)  # type: ignore[attr-defined]


copyreg.pickle(_GeneratedClass, _reduce_class)


def _make(name: str, mixin: type, cls: type, made_by: Callable[[type], type]) -> Any:
    namespace = {
        "pyg_class": cls,
        "_made_by": staticmethod(made_by),
        "_arguments": forward_parameters(cls)[1:],
        "__module__": __name__,
        "__doc__": f"`{cls.__name__}` on a HAG.",
    }
    return _GeneratedClass(name, (mixin, cls), namespace)


class _EdgeMixin(nn.Module):
    """Replaces HAGs among the arguments of `forward` by their edges."""

    __prepare_scriptable__ = refuse_torchscript

    def __repr__(self) -> str:
        return noted(super().__repr__(), f"on edges: {edges_reason(self)}")

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        # The code that PyG has written for its class serves this one, too.
        if "_orig_propagate" not in self.pyg_class.__dict__:
            super()._set_jittable_templates(raise_on_error)  # type: ignore[misc]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        names: Any = self._arguments
        given = dict(zip(names, args, strict=False)) | kwargs
        per_edge = [
            name
            for name, value in given.items()
            if name.startswith("edge_")
            and isinstance(value, Tensor)
            and name not in GRAPH_ARGUMENTS
        ]
        given = self._completed(given)
        if len(args) <= len(names):  # else the layer raises
            args, kwargs = (), given
        ordered = per_edge[0] if per_edge else None
        has_weights = given.get("edge_weight") is not None
        dtype = dtype_of(given)
        convert = partial(
            to_edges, ordered=ordered, has_weights=has_weights, dtype=dtype
        )
        args = tuple(map(convert, args))
        kwargs = {name: convert(value) for name, value in kwargs.items()}
        return super().forward(*args, **kwargs)

    def _completed(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments, with what else a HAG among them knows of its graph."""
        hag = next((v for v in given.values() if isinstance(v, AbstractHAG)), None)
        names: Any = self._arguments
        if "edge_weight" not in names or hag is None:
            for graph in _hags_in(given):
                check_counts(self, graph)
        if hag is None:
            return given
        known: dict[str, Any] = {}
        if "size" in names and given.get("size") is None:
            known["size"] = hag.num_src, hag.num_dst
        if "num_edges" in names and given.get("num_edges") is None:  # hyperedges
            known["num_edges"] = hag.num_dst
        is_missing = "edge_weight" in names and given.get("edge_weight") is None
        if is_missing and (hag.is_count or torch.compiler.is_compiling()):
            weight = hag.edge_weight_of_any_order()
            if weight is not None:
                known["edge_weight"] = weight.to(dtype_of(given) or weight.dtype)
        return {**given, **known}


def _hags_in(given: dict[str, Any]) -> Iterator[AbstractHAG]:
    """The HAGs among arguments, also by the types of edges."""
    for value in given.values():
        for item in value.values() if type(value) is dict else [value]:
            if isinstance(item, AbstractHAG):
                yield item


def _copying(propagate: Any) -> Any:
    """`propagate` that returns a copy: the gradient of a maximum needs the original."""

    @functools.wraps(propagate)
    def copied(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = propagate(self, *args, **kwargs)
        return out.clone()

    return copied
