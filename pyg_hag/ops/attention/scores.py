"""What tells kinds of attention apart."""

from typing import NamedTuple

from torch import Tensor

from pyg_hag.ops.attention.dropout import Dropout


class Scores(NamedTuple):
    """How the scores of edges are computed.

    Attributes:
        kind: `"gat"`: leaky_relu(key_j + query_i + term_ij), for numbers of each head;
            `"gatv2"`: the inner product of `att` and such a leaky ReLU of features;
            `"dot"`: the inner product of query_i and key_j + term_ij, times `scale`.
        slope: Of the leaky ReLU.
        scale: Of inner products.
        loops: Whether each node that is both source and destination has exactly one
            self-loop, instead of those of the graph.
        dropout: The probability that a coefficient is dropped.
    """

    kind: str
    slope: float = 0.2
    scale: float = 1.0
    loops: bool = False
    dropout: float = 0.0

    def with_seed(self, seed: Tensor | None) -> Dropout | None:
        """Which coefficients are dropped."""
        return None if seed is None else Dropout(self.dropout, int(seed))
