"""How to search: the keyword arguments of `build_hag`, checked."""

from dataclasses import dataclass
from typing import Any

from pyg_hag._validation import check_choice, check_count, check_seconds
from pyg_hag.cost import DEFAULT_COST, CostModel

METHODS = ("auto", "greedy")
OBJECTIVES = ("time", "aggregations")
ORDERS = ("set", "sequential")
NEIGHBOR_ORDERS = ("given", "degree", "shared")


@dataclass(frozen=True)
class Options:
    """The keyword arguments of :func:`pyg_hag.build_hag`."""

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
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("method", self.method, METHODS)
        check_choice("order", self.order, ORDERS)
        if self.neighbor_order is not None:
            check_choice("neighbor_order", self.neighbor_order, NEIGHBOR_ORDERS)
            if self.order != "sequential":
                raise ValueError(
                    f"'neighbor_order' is for order='sequential' alone: a set has no "
                    f"order (got {self.neighbor_order!r} with order={self.order!r})"
                )
        check_count("num_features", self.num_features, 1)
        if self.min_redundancy is not None:
            check_count("min_redundancy", self.min_redundancy, 2)
        if self.capacity is not None:
            check_count("capacity", self.capacity, 0)
        if self.num_passes is not None:
            check_count("num_passes", self.num_passes, 0)
        if self.memory_limit is not None:
            check_count("memory_limit", self.memory_limit, 0)
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
        for name, value in (("method", "greedy"), ("order", "sequential")):
            if self.subtract and getattr(self, name) == value:
                raise ValueError(
                    f"'subtract' does not go with {name}={value!r}: leave one of them "
                    f"out"
                )

    @property
    def least(self) -> int:
        """Least number of neighbourhoods that must share a pair, or a prefix."""
        if self.min_redundancy is not None:
            return self.min_redundancy
        return 6 if self.objective == "time" and self.order == "set" else 2

    @property
    def prices(self) -> CostModel:
        """The cost model to use."""
        return self.cost_model or DEFAULT_COST

    def shown(self) -> dict[str, Any]:
        """All that decides which HAG is found, for a repr."""
        return {k: v for k, v in vars(self).items() if k != "progress"}
