"""Cases: contenders that compute the same, checked for it and then timed in turn."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pyg_hag.analysis.memory import peak
from pyg_hag.benchmark._report import Row, Rows
from pyg_hag.benchmark._timing import Times, measure


@dataclass(frozen=True)
class Case:
    """Ways to compute one thing, of which one is the baseline of the others.

    Args:
        labels: What is computed, such as graph and width: the first columns.
        contenders: Functions that return what they compute (tensors, numbers, or lists
            of these), by name.
        baseline: The name of the contender that the others are compared with.
        wanted: For contenders whose result is not that of the baseline: the name of
            the one whose result it is, or None if there is none.
        over: Other contenders whose time is compared with that of each.
        tolerance: The largest difference of a result, relative to its largest value.
        tolerance_of: That of some contenders, which are known to be less exact.
        gradients: Whether the contenders compute gradients.
        memory: Whether to measure the peak of their memory, too.
        rounds: Number of rounds.
        budget: Seconds after which no further round starts (at least three run).
        facts: Further columns.
        facts_of: Further columns of some contenders.
    """

    labels: Mapping[str, Any]
    contenders: Mapping[str, Callable[[], Any]]
    baseline: str
    wanted: Mapping[str, str | None] = field(default_factory=dict)
    over: Sequence[str] = ()
    tolerance: float = 1e-4
    tolerance_of: Mapping[str, float] = field(default_factory=dict)
    gradients: bool = False
    memory: bool = False
    rounds: int = 15
    budget: float = 10.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    facts_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The labels in one line."""
        return case_name(self.labels)

    def check(self) -> None:
        """Compares the contenders' results.

        Raises:
            ValueError: If one differs from that of the contender that it should equal.
        """
        partners: dict[str, list[str]] = {}
        for name in self.contenders:
            other = self.wanted.get(name, self.baseline)
            if other is not None and other != name:
                partners.setdefault(other, []).append(name)
        with torch.set_grad_enabled(self.gradients):
            for other, names in partners.items():
                wanted = self.contenders[other]()
                for name in names:
                    error = difference(self.contenders[name](), wanted)
                    allowed = self.tolerance_of.get(name, self.tolerance)
                    if not error <= allowed:  # also if it is not a number
                        raise ValueError(
                            f"{self.name}: '{name}' does not compute what '{other}' "
                            f"does (difference {error:.3g} of the largest value, "
                            f"allowed {allowed:.3g})"
                        )

    def time(self, rounds: int | None = None) -> dict[str, Times]:
        """Times the contenders in turn.

        Args:
            rounds: The largest number of rounds.
        """
        count = min(self.rounds, rounds or self.rounds)
        with torch.set_grad_enabled(self.gradients):
            return measure(self.contenders, count, self.budget)

    def rows(self, times: Mapping[str, Times]) -> Rows:
        """One row for each contender, from their times."""
        return [self._row(name, times) for name in times]

    def _row(self, name: str, times: Mapping[str, Times]) -> Row:
        mine, base = times[name], times[self.baseline]
        speedups = mine.speedups_over(base)
        row: Row = {
            "case": self.name,
            **self.labels,
            "contender": name,
            "baseline": self.baseline,
            "rounds": len(mine.seconds),
        }
        for q in (20, 50, 80):
            row[f"milliseconds_{q}"] = 1e3 * mine.quantile(q)
        for q in (20, 50, 80):
            row[f"speedup_{q}"] = speedups.quantile(q)
        for other in self.over:
            if other in times:
                row[f"over {other}"] = mine.speedup_over(times[other])
        if self.memory:
            with torch.set_grad_enabled(self.gradients):
                row["megabytes"] = peak(self.contenders[name])
        return {**row, **self.facts, **self.facts_of.get(name, {})}


def run(cases: Iterable[Case], rounds: int | None = None) -> Iterator[Rows]:
    """Checks and times cases; yields the rows of each.

    Args:
        cases: The cases. What a generator of them does before it yields one is its
            setup, and is not timed.
        rounds: The largest number of rounds.
    """
    for case in tqdm(cases, unit="case"):
        case.check()
        yield case.rows(case.time(rounds))
        del case  # so that the next one finds the memory free


def case_name(labels: Mapping[str, Any]) -> str:
    """The labels of a case in one line."""
    return ", ".join(
        f"F = {value}" if name == "width" else str(value)
        for name, value in labels.items()
    )


def difference(result: Any, wanted: Any) -> float:
    """The largest difference, relative to the largest value that is wanted.

    Of a list, that of the item that differs most. Items whose values are less than a
    thousandth of the largest of all are taken relative to that: a gradient that is 0
    but for rounding differs from another one.
    """
    if not (_is_list(result) or _is_list(wanted)):
        result, wanted = [result], [wanted]
    elif not (_is_list(result) and _is_list(wanted) and len(result) == len(wanted)):
        return float("inf")
    if any(value is None for value in (*result, *wanted)):
        raise TypeError("a contender must return what it has computed (got None)")
    pairs = [*zip(map(_floats, result), map(_floats, wanted), strict=True)]
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    pairs = [(a, b) for a, b in pairs if b.numel()]
    sizes = [float(b.abs().max()) for _, b in pairs]
    least = max([1e-12, *(1e-3 * size for size in sizes)])
    errors = [float((a - b).abs().max()) for a, b in pairs]
    ratios = [e / max(size, least) for e, size in zip(errors, sizes, strict=True)]
    # NaN is not less than anything:
    return max(ratios, key=lambda r: float("inf") if r != r else r, default=0.0)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _floats(value: Any) -> Tensor:
    values = torch.as_tensor(value).detach()
    return values if values.dtype == torch.float64 else values.float()
