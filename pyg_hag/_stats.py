"""What a HAG costs, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HAGStats:
    """What a HAG costs, next to the plain graph that it stands for."""

    num_edges: int
    """Edges of the graph; also the reads of the plain graph."""
    num_aggregates: int
    num_groups: int
    depth: int
    """Aggregates on the longest path from a source to a destination."""
    max_inputs: int
    """Inputs of the longest row."""
    plain_aggregations: int
    """Binary operations of the plain graph: sum over its rows of inputs - 1."""
    aggregations: int
    """Binary operations of the HAG."""
    reads: int
    """Inputs read by the HAG."""
    subtractions: int = 0
    """Inputs among them that are subtracted."""
    steps: int | None = None
    """Sources read one after the other by a sequential HAG; None for a set HAG."""
    decision: str = ""
    """What the search chose and why; empty where the HAG comes from elsewhere."""

    @property
    def aggregation_reduction(self) -> float:
        """Aggregations of the plain graph over those of the HAG."""
        return _ratio(self.plain_aggregations, self.aggregations)

    @property
    def read_reduction(self) -> float:
        """Reads of the plain graph over those of the HAG."""
        return _ratio(self.num_edges, self.reads)

    @property
    def plain_steps(self) -> int:
        """Steps of the plain graph: one for each edge."""
        return self.num_edges

    @property
    def step_reduction(self) -> float:
        """Steps of the plain graph over those of the HAG; 1 for a set HAG."""
        return 1.0 if self.steps is None else _ratio(self.plain_steps, self.steps)

    def to_html(self, num_src: int, num_dst: int) -> str:
        """A table for notebooks."""
        rows = [
            ("sources", f"{num_src:,}", ""),
            ("destinations", f"{num_dst:,}", ""),
            ("aggregates", f"{self.num_aggregates:,}", f"depth {self.depth}"),
            ("edges", f"{self.num_edges:,}", ""),
            ("reads", f"{self.reads:,}", f"{self.read_reduction:.2f}x fewer"),
            (
                "aggregations",
                f"{self.aggregations:,}",
                f"{self.aggregation_reduction:.2f}x fewer",
            ),
        ]
        if self.subtractions:
            rows.append(("subtracted", f"{self.subtractions:,}", "of the reads"))
        if self.steps is not None:
            note = f"{self.step_reduction:.2f}x fewer"
            rows.append(("steps", f"{self.steps:,}", note))
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:right'>{value}</td><td>{note}</td></tr>"
            for name, value, note in rows
        )
        return f"<table><caption>HAG</caption>{cells}</table>"


def _ratio(before: int, after: int) -> float:
    return before / after if after else 1.0
