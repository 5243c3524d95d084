"""Gives modules other classes: in copies that share their parameters, or in place."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch._dynamo.eval_frame import OptimizedModule
from torch_geometric.nn import MessagePassing

from pyg_hag.nn.mixins.checks import has_pyg_propagate
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.nn.references import check_globals, modules_in, replaced

ClassOf = Callable[[nn.Module], type | None]
"""Gives the new class of a module, or None if it keeps its own."""


def changed_copy(model: nn.Module, class_of: ClassOf) -> nn.Module:
    """A copy in which some modules have other classes.

    Parameters and buffers are shared. Modules in which nothing changes are the same
    objects, and a module that stands in two places stays one.
    """
    references = _references(model)
    classes = {key: class_of(module) for key, (module, _) in references.items()}
    copies: dict[int, nn.Module] = {}
    for key in _changing(references, classes):
        module, _ = references[key]
        copies[key] = object.__new__(classes[key] or type(module))
    for key in reversed(references):  # what a module holds, before the module
        if key in copies:
            _fill(copies[key], references[key][0], copies)
    return copies.get(id(model), model)


def change_in_place(model: nn.Module, class_of: ClassOf) -> nn.Module:
    """Gives the modules of a model other classes; returns the model."""
    modules = [module for module, _ in _references(model).values()]
    changes = [(m, cls) for m in modules if (cls := class_of(m)) is not None]
    # Bound methods keep the function of the old class, and are bound again:
    stand_ins: dict[int, nn.Module] = {
        id(module): object.__new__(cls) for module, cls in changes
    }
    bound = [_changed_values(module, stand_ins) for module in modules]
    for module, cls in changes:
        if has_pyg_propagate(module):
            del module.__dict__["propagate"]
        module.__class__ = cls
        _set_propagate(module)
    originals = {id(stand_ins[id(module)]): module for module, _ in changes}
    for module, values in zip(modules, bound, strict=True):
        for name, value in values.items():
            module.__dict__[name] = replaced(value, originals)
    return model


def _changed_values(module: nn.Module, new: dict[int, nn.Module]) -> dict[str, Any]:
    """The attributes of a module that hold others, with the new ones in them."""
    if isinstance(module, OptimizedModule):  # calls the same module again
        return {}
    changed = {}
    for name, value in module.__dict__.items():
        if name not in ("_modules", "propagate", "_compiled_call_impl"):
            other = replaced(value, new)
            if other is not value:
                changed[name] = other
    return changed


References = dict[int, tuple[nn.Module, list[nn.Module]]]


def _references(model: nn.Module) -> References:
    """Every module that a model refers to, by its id, and those it refers to itself."""
    found: References = {}
    todo = [model]
    while todo:
        module = todo.pop()
        if id(module) not in found:
            held = [m for value in module.__dict__.values() for m in modules_in(value)]
            found[id(module)] = module, held
            todo += reversed(held)
    return found


def _changing(references: References, classes: dict[int, type | None]) -> list[int]:
    """The modules with another class, and all that refer to one."""
    changing = {key for key, cls in classes.items() if cls is not None}
    size = -1
    while size != len(changing):
        size = len(changing)
        for key, (_, held) in references.items():
            if any(id(module) in changing for module in held):
                changing.add(key)
    return [key for key in references if key in changing]


def _fill(copy: nn.Module, module: nn.Module, copies: dict[int, nn.Module]) -> None:
    """Gives a copy the attributes of the original."""
    if isinstance(module, OptimizedModule):  # made by torch.compile
        inner = copies[id(module._orig_mod)]
        copy.__dict__.update(OptimizedModule(inner, module.dynamo_ctx).__dict__)
        return
    _check_not_compiled(module)
    left_out = {"propagate"} if has_pyg_propagate(module) else set()
    for name, value in module.__dict__.items():
        if name.endswith("_hooks") or name == "_modules":
            value = value.copy()
        if name not in left_out:
            check_globals(value, copies)
            copy.__dict__[name] = replaced(value, copies)
    _set_propagate(copy)


def _set_propagate(module: nn.Module) -> None:
    """Sets the `propagate` of a layer's class, and that which an explanation needs."""
    if isinstance(module, HAGMessagePassing):
        module._set_jittable_templates()
    if isinstance(module, MessagePassing) and (
        module._explain or module._decomposed_layers != 1
    ):
        cls = type(module)
        module.propagate = cls._orig_propagate.__get__(module, MessagePassing)


def _check_not_compiled(module: nn.Module) -> None:
    if module._compiled_call_impl is not None:
        raise ValueError(
            f"'model' contains a {type(module).__name__} that 'compile()' has compiled "
            f"in place, which would still run the original: convert it first, and "
            f"compile the result"
        )
