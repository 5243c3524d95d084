"""The contract: what every backend and every layer must do, against PyG's own.

A backend or a layer joins by a class that inherits one of these and names itself.
"""

from contract.aggregate import AggregateContract, SignedContract
from contract.cases import (
    ACCELERATOR,
    ALL_SQUARE,
    GRAPHS,
    SQUARE,
    TELLING,
    assert_close,
    each_graph,
    each_square_graph,
    runs_triton,
)
from contract.layers import ConvContract, Converted, SignedConvContract
from contract.many import ManyContract

__all__ = [
    "ACCELERATOR",
    "ALL_SQUARE",
    "GRAPHS",
    "SQUARE",
    "TELLING",
    "AggregateContract",
    "ConvContract",
    "Converted",
    "ManyContract",
    "SignedContract",
    "SignedConvContract",
    "assert_close",
    "each_graph",
    "each_square_graph",
    "runs_triton",
]
