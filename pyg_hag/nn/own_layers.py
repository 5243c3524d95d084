"""Layers that users derive from `MessagePassing` and whose message is `x_j`."""

import ast
import functools
import inspect
import textwrap
from typing import Any

from torch import Tensor
from torch_geometric.nn import MessagePassing

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.checks import PER_EDGE_METHODS
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, propagate_hag

_LIBRARIES = ("torch_geometric.", "pyg_hag.")


class OwnLayerMixin(HAGMessagePassing):
    """A layer that hands its graph to `propagate` and sends features as they are.

    What else it passes to `propagate` is not part of its messages, as in PyG.
    """

    shared_methods = ("message",)
    message_input: str | None = None
    """See :func:`message_input`."""

    def _propagate_hag(  # type: ignore[override]
        self, hag: AbstractHAG, size: Any = None, **kwargs: Any
    ) -> Tensor:
        x = kwargs[self.message_input]  # type: ignore[index]
        if not hag.of_paths:
            hag = hag.unweighted
        return propagate_hag(self, hag, x, None, size)


@functools.cache
def message_input(cls: Any) -> str | None:
    """The argument of `propagate` that is a layer's message, if sums can be shared.

    Read from the source: `message` returns its only argument, such as `x_j`, and
    `forward` does nothing with the graph but pass it to `propagate`.

    Args:
        cls: A class.

    Returns:
        str | None: `"x"` for `x_j`; None if the layer needs edges, or if it cannot be
        told.
    """
    if not issubclass(cls, MessagePassing):
        return None
    bases = cls.__mro__[: cls.__mro__.index(MessagePassing)]
    if not bases or any(base.__module__.startswith(_LIBRARIES) for base in bases):
        return None
    own = {name for base in bases for name in base.__dict__}
    names = "propagate", "edge_updater"
    if any(_has_own(base, name) for base in bases for name in names):
        return None
    if own & {*PER_EDGE_METHODS} - {"message"} or "forward" not in own:
        return None
    sent = _sent(cls.message)
    return sent if sent is not None and _only_propagates(cls.forward, sent) else None


def _has_own(cls: type, name: str) -> bool:
    """Whether a class defines a method that PyG writes for classes that do not."""
    method = cls.__dict__.get(name)
    written = cls.__dict__.get(f"_jinja_{name}"), cls.__dict__.get(f"_orig_{name}")
    return method is not None and (method is not written[0] or method is written[1])


def _sent(message: Any) -> str | None:
    """The name of the features that `message` returns as they are."""
    function = _parsed(message)
    if function is None:
        return None
    names = [argument.arg for argument in function.args.args[1:]]
    body = function.body[1 if ast.get_docstring(function) is not None else 0 :]
    if len(names) != 1 or len(body) != 1 or not names[0].endswith("_j"):
        return None
    value = body[0].value if isinstance(body[0], ast.Return) else None
    is_argument = isinstance(value, ast.Name) and value.id == names[0]
    return names[0].removesuffix("_j") if is_argument else None


def _only_propagates(forward: Any, sent: str) -> bool:
    """Whether `forward` passes its graph to `self.propagate`, and to nothing else."""
    function = _parsed(forward)
    if function is None:
        return False
    self_name, *names = [argument.arg for argument in function.args.args]
    graphs, passed = set(), 0
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not _is_propagate(node, self_name):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        graph = node.args[0] if node.args else given.get("edge_index")
        if not isinstance(graph, ast.Name) or graph.id not in names:
            return False
        if sent not in given:
            return False
        graphs.add(graph.id)
        passed += 1
    used = [n.id for n in ast.walk(function) if isinstance(n, ast.Name)]
    return len(graphs) == 1 and used.count(graphs.pop()) == passed


def _is_propagate(node: ast.Call, self_name: str) -> bool:
    """Whether a call is `self.propagate(...)`."""
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr == "propagate"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == self_name
    )


def _parsed(function: Any) -> ast.FunctionDef | None:
    """The syntax tree of a function, or None if its source is not to be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    found = tree.body[0]
    return found if isinstance(found, ast.FunctionDef) else None
