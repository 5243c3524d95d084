"""How to search: the keyword arguments of `build_hag`, checked."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pyg_hag.cost import DEFAULT_COST, CostModel
from pyg_hag.hag.decision import NEIGHBOR_ORDERS
from pyg_hag.utils.checks import check_choice, check_count, check_seconds

METHODS = ("auto", "greedy")
OBJECTIVES = ("time", "aggregations")
ORDERS = ("set", "sequential")

IGNORED_BY = {
    ("order", "sequential"): (
        "objective",
        "method",
        "num_features",
        "cost_model",
        "time_limit",
        "memory_limit",
        "progress",
        "subtract",
        "num_passes",
    ),
    ("order", "set"): ("neighbor_order",),
    ("objective", "aggregations"): ("num_features", "cost_model", "num_passes"),
    ("method", "greedy"): ("subtract",),
}
"""Which options have no effect with a value of another one, and raise."""

_CHOICES = {"objective": OBJECTIVES, "method": METHODS, "order": ORDERS}
_MIN_COUNTS = {
    "num_features": 1,
    "capacity": 0,
    "min_redundancy": 2,
    "memory_limit": 0,
    "num_passes": 0,
}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How :func:`pyg_hag.build_hag` and :class:`pyg_hag.HAGTransform` search.

    Both take these options as keywords, or one such object as `options`.

    Args:
        objective (str): `"time"` keeps the aggregates that save time, as `cost_model`
            predicts it, and none at all if the whole does not pay; `"aggregations"`
            makes binary operations as few as it can.
        method (str): `"auto"` merges twins in advance and samples candidates;
            `"greedy"` is the published search alone, exact, whose time and quality
            serve as a reference.
        num_features (int): Features per node for which `"time"` is predicted. For
            `objective="time"`.
        capacity (int, optional): Largest number of aggregates; unlimited if None.
            0 gives the plain graph as a HAG.
        min_redundancy (int, optional): Smallest number of neighbourhoods that share a
            pair (or a prefix), at least 2. If None, 6 for least time, where aggregates
            that fewer rows share hardly pay but take most of the search, else 2.
        cost_model (CostModel, optional): The cost of reads and rows; measured
            constants of a common machine if None. For `objective="time"`.
        time_limit (float, optional): Seconds after which the search stops and
            returns the best HAG so far. Reading the graph and writing the HAG are
            not cut short.
        memory_limit (int, optional): Bytes that the search may take, approximately.
            Where necessary it searches part by part, which finds less, and returns
            the graph as it is where even that takes more.
        progress (bool, optional): Whether to show a progress bar; if None, one
            appears when the search of a large graph takes more than two seconds.
        order (str): `"set"`, or `"sequential"` for aggregators that read neighbours
            in order: every prefix that several neighbourhoods share is an aggregate,
            a row is at most one aggregate followed by sources in order, and
            `hag.is_sequential` is true. There is nothing to search for then, so that
            of the other options only `capacity` (which keeps the prefixes that save
            most steps), `min_redundancy` and `neighbor_order` apply.
        neighbor_order (str, optional): The order of a sequential HAG: `"given"`
            (also if None) is that of `edge_index`; `"degree"` puts sources first
            that most destinations read (among equals, the smaller number);
            `"shared"` lets each destination have its own order, so that prefixes are
            shared as much as possible. For `order="sequential"`.
        subtract (bool): Whether rows may subtract, which works for sum and mean only.
            A row may then be that of the closed neighbourhood minus the node itself,
            or one that similar rows share with a few corrections, as in the
            compressed binary matrix format (Alves et al., 2024). See `docs/search.md`
            for the effect on values that are very large or not finite. For
            `method="auto"`.
        num_passes (int, optional): How many sums will run over the HAG, forward and
            backward. If they cannot pay for the search, the graph is returned as it
            is at once; for graphs that are used once, such as sampled batches. If
            None, the search is taken to be free. For `objective="time"`.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option has an invalid value, or one that has no effect with
            the others.
    """

    objective: str = "time"
    method: str = "auto"
    num_features: int = 64
    capacity: int | None = None
    min_redundancy: int | None = None
    cost_model: CostModel | None = None
    time_limit: float | None = None
    memory_limit: int | None = None
    progress: bool | None = None
    order: str = "set"
    neighbor_order: str | None = None
    subtract: bool = False
    num_passes: int | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.neighbor_order is not None:
            check_choice("neighbor_order", self.neighbor_order, NEIGHBOR_ORDERS)
        for name, minimum in _MIN_COUNTS.items():
            if getattr(self, name) is not None or name == "num_features":
                count = check_count(name, getattr(self, name), minimum)
                object.__setattr__(self, name, count)  # an int of any type
        if not isinstance(self.cost_model, CostModel | None):
            raise TypeError(
                f"'cost_model' must be a CostModel (got {self.cost_model!r})"
            )
        check_seconds("time_limit", self.time_limit)
        if not isinstance(self.progress, bool | None):
            raise TypeError(
                f"'progress' must be True, False or None (got {self.progress!r})"
            )
        if not isinstance(self.subtract, bool):
            raise TypeError(f"'subtract' must be a bool (got {self.subtract!r})")
        self._check_effects()

    def _check_effects(self) -> None:
        """Refuses options that have no effect with the others."""
        defaults = {field.name: field.default for field in fields(self)}
        for (name, value), ignored in IGNORED_BY.items():
            if getattr(self, name) != value:
                continue
            (other,) = set(_CHOICES[name]) - {value}
            for option in ignored:
                if option == "progress" and not self.progress:
                    continue  # no bar appears, as asked
                if getattr(self, option) != defaults[option]:
                    raise ValueError(
                        f"{option!r} has no effect with {name}={value!r} "
                        f"(got {getattr(self, option)!r}): leave it out, or use "
                        f"{name}={other!r}"
                    )

    @property
    def effective_min_redundancy(self) -> int:
        """The value of `min_redundancy`, also where that is None."""
        if self.min_redundancy is not None:
            return self.min_redundancy
        return 6 if self.objective == "time" and self.order == "set" else 2

    @property
    def effective_cost_model(self) -> CostModel:
        """The value of `cost_model`, also where that is None."""
        return self.cost_model or DEFAULT_COST

    def for_repr(self) -> dict[str, Any]:
        """The options that decide which HAG is found."""
        return {k: v for k, v in vars(self).items() if k != "progress"}


_OPTIONS = fields(SearchOptions)


def takes_search_options(function: F) -> F:
    """Shows the fields of :class:`SearchOptions` as parameters of a function.

    They replace the last parameter, `**search_options`, in `inspect.signature`, and so
    in `help` and in the completion of notebooks.
    """
    signature = inspect.signature(function)
    *parameters, _ = signature.parameters.values()
    parameters += [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in _OPTIONS
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters
    )
    return function


def collect_options(
    function: Callable[..., Any],
    options: SearchOptions | None,
    search_options: dict[str, Any],
) -> SearchOptions:
    """The options given to a function that takes an object or keywords.

    Args:
        function: One with :func:`takes_search_options`, for its name and parameters.
        options: The object, if given.
        search_options: The keywords.

    Raises:
        TypeError: If a keyword is unknown, or `options` is not a `SearchOptions`.
        ValueError: If both the object and keywords are given.
    """
    names = [field.name for field in _OPTIONS]
    for name in search_options:
        if name not in names:
            valid = [p for p in inspect.signature(function).parameters if p != "self"]
            close = difflib.get_close_matches(name, valid) or valid
            raise TypeError(
                f"{function.__qualname__}() got an unexpected keyword argument "
                f"{name!r}: did you mean {' or '.join(map(repr, close))}?"
            )
    if options is None:
        return SearchOptions(**search_options)
    if not isinstance(options, SearchOptions):
        raise TypeError(f"'options' must be a SearchOptions (got {options!r})")
    if search_options:
        given = ", ".join(map(repr, search_options))
        raise ValueError(
            f"'options' cannot be combined with keywords (got {given}): put them into "
            f"the options, for example by 'dataclasses.replace'"
        )
    return options
