"""Modules among ordinary values: where a module refers to others, and copies of that.

A module can hold others outside of its registered children: in lists and dictionaries,
by their bound methods, and in partials and functions that use them.
"""

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

_COLLECTIONS = (list, tuple, set, frozenset)


def modules_in(value: Any, seen: set[int] | None = None) -> Iterator[nn.Module]:
    """The modules that a value refers to, itself included."""
    if isinstance(value, nn.Module):
        yield value
        return
    seen = set() if seen is None else seen
    if id(value) not in seen:
        seen.add(id(value))
        for part in _parts(value):
            yield from modules_in(part, seen)


def replaced(
    value: Any, new: Mapping[int, nn.Module], functions: dict[int, Any] | None = None
) -> Any:
    """The value with other modules in it; the same object if it has none of them.

    Args:
        value: Anything.
        new: The modules to use instead, by the id of each original.
        functions: The functions that are replaced already, which may use themselves.
    """
    functions = {} if functions is None else functions
    if isinstance(value, nn.Module):
        return new.get(id(value), value)
    if not any(id(module) in new for module in modules_in(value)):
        return value

    def again(part: Any) -> Any:
        return replaced(part, new, functions)

    if isinstance(value, dict):
        copy = value.copy()
        copy.clear()
        copy.update((key, again(item)) for key, item in value.items())
        return copy
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*map(again, value))
    if isinstance(value, _COLLECTIONS):
        return type(value)(map(again, value))
    if isinstance(value, types.MethodType):
        other, function = again(value.__self__), value.__func__
        if getattr(type(value.__self__), function.__name__, None) is function:
            function = getattr(type(other), function.__name__)
        return types.MethodType(function, other)
    if isinstance(value, functools.partial):
        function, args, keywords = map(again, _parts(value))
        return type(value)(function, *args, **keywords)
    if id(value) not in functions:
        _replace_function(value, again, functions)
    return functions[id(value)]


def check_globals(
    value: Any, new: Mapping[int, nn.Module], seen: set[int] | None = None
) -> None:
    """Checks that no function in a value uses such a module as a global variable."""
    seen = set() if seen is None else seen
    if isinstance(value, nn.Module) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        for name, module in _global_modules(value).items():
            if id(module) in new:
                raise ValueError(
                    f"function {value.__name__!r}, which a module holds, uses the "
                    f"module {name!r} ({type(module).__name__}) as a global variable, "
                    f"which a copy cannot replace: use 'inplace=True', or a method"
                )
    for part in _parts(value):
        check_globals(part, new, seen)


def _parts(value: Any) -> Iterator[Any]:
    """The values that a value of a known type holds."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, _COLLECTIONS):
        yield from value
    elif isinstance(value, types.MethodType):
        yield value.__self__
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, types.FunctionType):
        yield from _global_modules(value).values()
        yield value.__defaults__
        yield value.__kwdefaults__
        for cell in value.__closure__ or ():
            if _is_filled(cell):
                yield cell.cell_contents


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _global_modules(function: types.FunctionType) -> dict[str, nn.Module]:
    known = function.__globals__
    used = {name: known[name] for name in function.__code__.co_names if name in known}
    return {name: v for name, v in used.items() if isinstance(v, nn.Module)}


def _replace_function(
    function: Any, again: Callable[[Any], Any], functions: dict[int, Any]
) -> None:
    """Makes a function whose defaults and enclosed variables are other modules."""
    cells = tuple(types.CellType() for _ in function.__closure__ or ())
    code, known, name = function.__code__, function.__globals__, function.__name__
    copy = types.FunctionType(code, known, name, None, cells)
    functions[id(function)] = functools.update_wrapper(copy, function)
    copy.__defaults__ = again(function.__defaults__)
    copy.__kwdefaults__ = again(function.__kwdefaults__)
    for cell, original in zip(cells, function.__closure__ or (), strict=True):
        if _is_filled(original):
            cell.cell_contents = again(original.cell_contents)
