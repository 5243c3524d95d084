"""Protection: which nodes are protected in a forward pass."""

import torch
from torch import Tensor, nn

from pyg_hag.quantization.random import random_bits


class Protection(nn.Module):
    """Draws the protected nodes, once in each forward pass of training.

    Each draw depends only on the seed and on the number of earlier draws, which is
    part of checkpoints.

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
        """Whether each node is protected, bool with the shape of the probabilities."""
        drawn = random_bits.uniform(self.seed, self.num_drawn, protect_prob.numel())
        self.num_drawn.add_(1)
        return drawn < protect_prob
