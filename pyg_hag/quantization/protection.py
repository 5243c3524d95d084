"""Which nodes are protected in this forward pass."""

import torch
from torch import Tensor, nn

from pyg_hag.quantization import _random


class Protection(nn.Module):
    """Draws the protected nodes, once in each forward pass that trains.

    Each draw depends on the seed and the number of the draw alone, which a checkpoint
    keeps.

    Args:
        seed (int): The seed.
    """

    seed: Tensor
    num_drawn: Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("num_drawn", torch.tensor(0))

    def forward(self, protect_prob: Tensor) -> Tensor:
        """The nodes that are protected now, bool like the probabilities."""
        drawn = _random.uniform(self.seed, self.num_drawn, protect_prob.numel())
        self.num_drawn.add_(1)
        return drawn < protect_prob
