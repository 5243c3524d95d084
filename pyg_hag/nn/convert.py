"""Models that people have, on a HAG: the same modules with the same parameters."""

import copyreg
import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_hag.hag import HAG
from pyg_hag.nn._support import Support, SupportTable, mixin_of, reason_of
from pyg_hag.nn.conv import HAGEGConv, HAGGCNConv, HAGGINConv, HAGSAGEConv
from pyg_hag.nn.conv._message_passing import HAGMessagePassing, put_in_front

_GRAPHS = ("edge_index", "hyperedge_index", "adj", "adj_t")
_WHOLE = ("torch_geometric.nn.pool", "torch_geometric.nn.unpool")
_TAKE_APART = ("GraphUNet", "SAGPooling", "PANPooling", "ASAPooling", "EdgePooling")
_OURS: dict[type, type] = {
    cls._pyg_class: cls for cls in (HAGEGConv, HAGGCNConv, HAGGINConv, HAGSAGEConv)
}
"""Classes of ours that have a name of their own."""


def to_hag(model: nn.Module, *, strict: bool = False) -> nn.Module:
    r"""Makes a model that takes a HAG wherever it took an `edge_index`.

    Every layer of PyG in it whose sums can be shared runs over the HAG (see
    :func:`hag_support`); every other one gets the edges that the HAG stands for.
    Outputs and gradients are those of the original model, and so are parameters and
    buffers: the very same tensors, not copies. Modules without layers are the same
    objects. An `edge_index` still works.

    .. code-block:: python

        model = GCN(64, 64, num_layers=2)
        fast = to_hag(model)
        out = fast(data.x, data.hag)  # model(data.x, data.edge_index)

    Args:
        model (torch.nn.Module): Any module that contains layers of PyG, also
            `torch_geometric.nn.Sequential`, PyG's ready models, `HeteroConv`, what
            `to_hetero` makes, or one layer.
        strict (bool): Whether to refuse a model in which some layers cannot share.

    Returns:
        torch.nn.Module: A model of the same class (and layers of derived classes).
        :func:`from_hag` goes back.

    Raises:
        TypeError: If `model` is not a module.
        ValueError: If it contains no layer of PyG; if `strict` and some of its layers
            cannot share, with the name of each and why.
    """
    table = hag_support(model)
    if not table:
        raise ValueError(
            f"'model' contains no layer of PyG (got {type(model).__name__}): there is "
            f"nothing that a HAG could share"
        )
    if strict and not all(support.shared for support in table):
        rows = [f"{s.name or '(model)'} ({s.layer}): {s.reason}" for s in table]
        listed = "\n  ".join(
            row for row, s in zip(rows, table, strict=True) if not s.shared
        )
        raise ValueError(
            f"'model' has layers that cannot share sums on a HAG; leave 'strict' out "
            f"to run them on the edges:\n  {listed}"
        )
    return _mapped(model, _to_hag, {})


def from_hag(model: nn.Module) -> nn.Module:
    """Goes back from what :func:`to_hag` returns, with the same parameters.

    Args:
        model (torch.nn.Module): A model whose layers take HAGs.

    Returns:
        torch.nn.Module: The model of PyG's own layers.

    Raises:
        TypeError: If `model` is not a module.
    """
    _check_module(model)
    return _mapped(model, _from_hag, {})


def hag_support(model: nn.Module) -> SupportTable:
    """Lists the layers of a model: which share sums on a HAG, and why others do not.

    Args:
        model (torch.nn.Module): Any module.

    Returns:
        list[Support]: One entry for each layer; prints as a table.

    Raises:
        TypeError: If `model` is not a module.
    """
    _check_module(model)
    table, known = SupportTable(), list[str]()
    for name, module in model.named_modules():
        if any(name.startswith(f"{other}.") for other in known):
            continue  # inside a layer
        original = _original(module)
        container = not isinstance(original, MessagePassing) and _has_layers(original)
        if _expands(original) or (_is_layer(original) and not container):
            reason = _reason(original) or ""
            table.append(Support(name, type(original).__name__, reason))
            if not _has_layers(original) or _expands(original):
                known.append(name)
    return table


def _check_module(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"'model' must be a torch.nn.Module (got {type(model).__name__})"
        )


def _reason(module: nn.Module) -> str | None:
    if _takes_apart(module):
        return "it changes the graph on its way"
    return reason_of(module)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, MessagePassing) or mixin_of(type(module)) is not None


def _has_layers(module: nn.Module) -> bool:
    return any(_is_layer(child) for child in module.modules() if child is not module)


def _takes_apart(module: nn.Module) -> bool:
    """Whether a module of PyG does more with a graph than to hand it on."""
    cls = type(module)
    if cls.__module__.startswith(_WHOLE) or cls.__name__ in _TAKE_APART:
        return _takes_graph(cls)
    return False


def _takes_graph(cls: type) -> bool:
    return any(name in _parameters(cls) for name in _GRAPHS)


def _expands(module: nn.Module) -> bool:
    """Whether a module of PyG needs edges."""
    if _takes_apart(module):
        return True
    if mixin_of(type(module)) is not None and reason_of(module) is None:
        return False
    if isinstance(module, MessagePassing):
        return True
    inner = type(module).__module__.startswith("torch_geometric.nn.conv")
    return inner and not _has_layers(module) and _takes_graph(type(module))


@functools.cache
def _parameters(cls: type) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(cls.forward).parameters)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return ()


# Modules ######################################################################


def _mapped(
    module: nn.Module,
    convert: Callable[[nn.Module], type | None],
    done: dict[int, nn.Module],
) -> nn.Module:
    """The module with other classes in it; the same object where there are none."""
    if id(module) in done:  # one module in two places stays one
        return done[id(module)]
    cls = convert(module)
    children = {
        name: child if child is None else _mapped(child, convert, done)
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


def _to_hag(module: nn.Module) -> type | None:
    cls: Any = type(module)
    if getattr(cls, "_pyg_class", None) is not None:
        return None
    if isinstance(module, HAGMessagePassing):
        return None
    if _expands(module):
        return _expanding(cls)
    return _sharing(cls) if mixin_of(cls) is not None else None


def _from_hag(module: nn.Module) -> type | None:
    cls: type | None = getattr(type(module), "_pyg_class", None)
    return cls


def _original(module: nn.Module) -> nn.Module:
    """The module as one of PyG's class, for questions about it."""
    cls = _from_hag(module)
    if cls is None:
        return module
    other: nn.Module = object.__new__(cls)
    other.__dict__.update(module.__dict__)
    return other


@functools.cache
def _sharing(cls: type) -> type:
    """The class of layers that share sums."""
    if cls in _OURS:
        return _OURS[cls]
    mixin = mixin_of(cls)
    assert mixin is not None
    return make_layer(f"HAG{cls.__name__}", mixin, cls, _sharing)


@functools.cache
def _expanding(cls: type) -> type:
    """The class of modules that get edges for a HAG."""
    made: type = _make(f"Edges{cls.__name__}", _Expanding, cls, _expanding)
    return made


class _Made(type):
    """The class of classes that are made here, which pickle finds by their origin."""


def _origin(cls: type) -> Any:
    made = cls.__dict__.get("_made_by")
    if made is None:  # derived from one
        return cls.__qualname__
    return made.__func__, (cls._pyg_class,)  # type: ignore[attr-defined]


copyreg.pickle(_Made, _origin)


def _make(name: str, mixin: type, cls: type, made_by: Callable[[type], type]) -> Any:
    namespace = {
        "_pyg_class": cls,
        "_made_by": staticmethod(made_by),
        "_arguments": _parameters(cls)[1:],
        "__module__": __name__,
        "__doc__": f"`{cls.__name__}` on a HAG.",
    }
    return _Made(name, (mixin, cls), namespace)


def make_layer(
    name: str, mixin: type, cls: Any, made_by: Callable[[type], type]
) -> type:
    """A class of layers with a mix-in in front, whose `propagate` knows HAGs.

    Args:
        name: Its name.
        mixin: The mix-in.
        cls: The class of layers.
        made_by: The function that makes it of `cls`, by which pickle finds it.
    """
    made: type = _make(name, mixin, cls, made_by)
    if issubclass(mixin, HAGMessagePassing):
        made._edge_propagate = cls.propagate  # type: ignore[attr-defined]
        put_in_front(made)
    return made


class _Expanding(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        names: Any = self._arguments
        given = dict(zip(names, args, strict=False)) | kwargs
        per_edge = [
            name
            for name, value in given.items()
            if name.startswith("edge_")
            and isinstance(value, Tensor)
            and name not in _GRAPHS
        ]
        args = tuple(_edges(value, per_edge) for value in args)
        kwargs = {name: _edges(value, per_edge) for name, value in kwargs.items()}
        return super().forward(*args, **kwargs)


def _edges(value: Any, per_edge: list[str]) -> Any:
    if isinstance(value, HAG):
        if per_edge:
            return value.edge_index_in_order(per_edge[0])
        return value.edge_index
    if type(value) is dict:
        return {key: _edges(item, per_edge) for key, item in value.items()}
    return value
