"""The cost of a HAG."""

from dataclasses import dataclass

from pyg_hag.utils.html import html_facts


@dataclass(frozen=True)
class HAGStats:
    """The cost of a HAG, compared with that of the plain graph it represents."""

    num_edges: int
    """Edges of the graph, which is also the number of reads of the plain graph."""
    num_aggregates: int
    """Intermediate aggregation nodes."""
    num_groups: int
    """Groups, which read different sources."""
    depth: int
    """Aggregates on the longest path from a source to a destination."""
    max_inputs: int
    """Inputs of the longest row."""
    plain_aggregations: int
    """Binary operations of the plain graph: `in_degree - 1` for each row."""
    aggregations: int
    """Binary operations of the HAG."""
    reads: int
    """Inputs that the rows of the HAG read."""
    subtractions: int = 0
    """Inputs that are subtracted."""
    steps: int | None = None
    """Sources that a sequential HAG reads one after another; None for a set HAG."""
    decision: str = ""
    """What the search chose and why; empty if there was no search."""

    @property
    def aggregation_reduction(self) -> float:
        """Aggregations of the plain graph divided by those of the HAG."""
        return _ratio(self.plain_aggregations, self.aggregations)

    @property
    def read_reduction(self) -> float:
        """Reads of the plain graph divided by those of the HAG."""
        return _ratio(self.num_edges, self.reads)

    @property
    def plain_steps(self) -> int:
        """Steps of the plain graph, one for each edge."""
        return self.num_edges

    @property
    def step_reduction(self) -> float:
        """Steps of the plain graph divided by those of the HAG; 1 for a set HAG."""
        return 1.0 if self.steps is None else _ratio(self.plain_steps, self.steps)

    def to_html(self, num_src: int, num_dst: int) -> str:
        """The cost as an HTML table, for notebooks.

        Args:
            num_src: Number of sources.
            num_dst: Number of destinations.
        """
        sizes = [("sources", f"{num_src:,}"), ("destinations", f"{num_dst:,}")]
        return html_facts("HAG", [*sizes, *self._facts()])

    def _repr_html_(self) -> str:
        return html_facts("HAGStats", self._facts())

    def _facts(self) -> list[tuple[str, ...]]:
        """Names, values and notes."""
        facts: list[tuple[str, ...]] = [
            ("aggregates", f"{self.num_aggregates:,}", f"depth {self.depth}"),
            ("edges", f"{self.num_edges:,}"),
            ("reads", f"{self.reads:,}", f"{self.read_reduction:.2f}x fewer"),
            (
                "aggregations",
                f"{self.aggregations:,}",
                f"{self.aggregation_reduction:.2f}x fewer",
            ),
        ]
        if self.subtractions:
            facts.append(("subtracted", f"{self.subtractions:,}", "of the reads"))
        if self.steps is not None:
            note = f"{self.step_reduction:.2f}x fewer"
            facts.append(("steps", f"{self.steps:,}", note))
        if self.decision:
            facts.append(("decision", "", self.decision))
        return facts


def _ratio(before: int, after: int) -> float:
    return before / after if after else 1.0
