"""Checks of arguments."""

import operator
from typing import Any


def check_count(name: str, value: object, minimum: int) -> int:
    """Checks an integer argument and returns it.

    Integers of NumPy and tensors of one integer are numbers as well.
    """
    number = whole_number(value)
    if number is None:
        raise TypeError(f"'{name}' must be an int (got {value!r})")
    if number < minimum:
        raise ValueError(f"'{name}' must be at least {minimum} (got {value})")
    return number


def whole_number(value: Any) -> int | None:
    """The int that a value of any integer type stands for, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    kind = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if not kind.startswith(("int", "uint")) or getattr(value, "ndim", 0) != 0:
        return None
    return operator.index(value)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Checks an argument that must be one of some strings and returns it."""
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be a str (got {value!r})")
    if value not in choices:
        words = " or ".join(repr(c) for c in choices)
        raise ValueError(f"'{name}' must be {words} (got {value!r})")
    return value


def check_fraction(name: str, value: object, maximum: float = 1.0) -> None:
    """Checks a number from 0 to `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"'{name}' must be a number (got {value!r})")
    if not 0 <= value <= maximum:
        raise ValueError(f"'{name}' must be in [0, {maximum:g}] (got {value})")


def check_probabilities(p_min: object, p_max: object) -> None:
    """Checks the bounds of a range of probabilities."""
    check_fraction("p_min", p_min)
    check_fraction("p_max", p_max)
    if p_max < p_min:  # type: ignore[operator]
        raise ValueError(f"'p_max' must be at least 'p_min' (got {p_max} and {p_min})")


def check_seconds(name: str, value: object) -> None:
    """Checks an optional number of seconds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"'{name}' must be a number of seconds (got {value!r})")
    if not value >= 0:
        raise ValueError(f"'{name}' must not be negative (got {value})")
