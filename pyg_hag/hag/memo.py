"""Results that are computed once per HAG and kept on it."""

import functools
from collections.abc import Callable, Hashable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import ref

from torch import Tensor

from pyg_hag.utils.tensors import ordinary_tensors

P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", bound=Any)
_MISSING = object()


def once_per_hag(
    function: Callable[Concatenate[H, P], T],
) -> Callable[Concatenate[H, P], T]:
    """Caches the results of a function on the HAG that is its first argument.

    The results live as long as the HAG. The other arguments are positional and
    hashable.
    """

    @functools.wraps(function)
    def kept(hag: Any, *args: Any) -> T:
        key: Hashable = (function, *args)
        results = hag.kept
        found = results.get(key, _MISSING)  # hashes the key once
        if found is _MISSING:
            with ordinary_tensors():
                found = function(hag, *args)  # type: ignore[call-arg]
            results[key] = found
        return cast("T", found)

    return cast("Callable[Concatenate[H, P], T]", kept)


class Latest:
    """The result for the tensor that was passed last, until it changes in place."""

    def __init__(self) -> None:
        self._tensor: Callable[[], Tensor | None] = lambda: None
        self._version = -1
        self._result: Any = None

    def of(self, tensor: Tensor, make: Callable[[], T]) -> T:
        """The result of `make()`, from an earlier call with this tensor or from now."""
        version = -1 if tensor.is_inference() else tensor._version
        if self._tensor() is not tensor or self._version != version or version < 0:
            self._result = make()
            self._tensor, self._version = ref(tensor), version
        result: T = self._result
        return result
