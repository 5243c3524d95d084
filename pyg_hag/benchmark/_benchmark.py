"""What a benchmark is, and how it is run."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from pyg_hag.benchmark import case
from pyg_hag.benchmark._plots import plot_ratios
from pyg_hag.benchmark._report import Rows, Table
from pyg_hag.benchmark.case import Case

QUICK_ROUNDS = 3


@dataclass(frozen=True)
class Settings:
    """What was asked for on the command line."""

    graphs: Sequence[str] = ()
    root: str | None = None
    widths: Sequence[int] = ()
    device: str | None = None
    quick: bool = False
    """Small generated graphs, few widths, and few rounds."""
    rounds: int | None = None
    """The largest number of rounds."""
    self_loops: bool = False
    dataset: Sequence[str] = ()
    model: Sequence[str] = ()
    method: Sequence[str] = ()
    runs: int | None = None
    epochs: int | None = None
    first: int = 0
    save: str | None = None
    fit: str | None = None
    out: str | None = None
    resume: bool = False
    """Whether `all` leaves out what is in its folder already."""

    def widths_or(self, default: Sequence[int]) -> Sequence[int]:
        """The numbers of features that were named, or the default ones."""
        return self.widths or ([32] if self.quick else default)

    @property
    def max_rounds(self) -> int | None:
        """The largest number of rounds; None for that of each case."""
        return self.rounds or (QUICK_ROUNDS if self.quick else None)

    def command(self, name: str) -> str:
        """The command line that measures the same."""
        words = ["python", "-m", "pyg_hag.benchmark", name, *self.graphs]
        for field in fields(self):
            value = getattr(self, field.name)
            many = list(value) if isinstance(value, list | tuple) else [value]
            if field.name in _NOT_MEASURED or value == field.default or not many:
                continue
            words.append("--" + field.name.replace("_", "-"))
            words += [] if value is True else map(str, many)
        return shlex.join(words)


_NOT_MEASURED = ("graphs", "root", "out", "save", "fit", "resume")
"""Settings that the results do not depend on, and the graphs, which have no option."""


@dataclass(frozen=True)
class Benchmark:
    """Something to measure.

    Args:
        name: The name of the command.
        about: What the table shows, in Markdown.
        measure: Yields rows, in parts that are saved one after the other.
        table: The table of all rows, also of those that were read from a file.
        plot: Writes a picture of all rows.
    """

    name: str
    about: str
    measure: Callable[[Settings], Iterator[Rows]]
    table: Callable[[Rows], Table]
    plot: Callable[[Rows, str], None] = plot_ratios


def of_cases(
    cases: Callable[[Settings], Iterable[Case]],
) -> Callable[[Settings], Iterator[Rows]]:
    """Measures the cases of a generator."""

    def measure(settings: Settings) -> Iterator[Rows]:
        return case.run(cases(settings), settings.max_rounds)

    return measure
