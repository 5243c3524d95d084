"""A linear layer that trains quantized."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pyg_hag.quantization._rounded import Rounded
from pyg_hag.quantization._state import Forward
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.fake_quantize import FakeQuantize


class QATLinear(nn.Module):
    r"""A product with rounded inputs and weights.

    .. math::
        \mathbf{y} = \hat{\mathbf{x}} \hat{\mathbf{W}}^\top + \mathbf{b}

    Args:
        linear: A linear layer of PyTorch or PyG, whose parameters it takes.
        config (DegreeQuantConfig): How it is quantized.
        state (Forward, optional): Which nodes are protected, if rows are nodes.
        exact (bool): Whether it gets rounded features.

    Raises:
        ValueError: If the layer does not know its input size yet.
    """

    weight: Tensor

    def __init__(
        self,
        linear: Any,
        config: DegreeQuantConfig,
        state: Forward | None = None,
        exact: bool = False,
    ) -> None:
        super().__init__()
        if nn.parameter.is_lazy(linear.weight):
            raise ValueError(
                "'model' has a linear layer that does not know its input size yet: "
                "call the model once before"
            )
        self.weight, self.bias = linear.weight, linear.bias
        self.out_channels, self.in_channels = linear.weight.shape
        self.input = None if exact else FakeQuantize(config)
        self.rounded_weight = FakeQuantize(config, self.out_channels)
        self.to(linear.weight.device)
        self._state = state

    def forward(self, x: Any) -> Tensor:
        """The product, plus the bias."""
        out = self.product(self._rounded(x))
        return out if self.bias is None else out + self.bias

    def product(self, rows: Rounded) -> Tensor:
        """That of rounded features, without the bias."""
        return F.linear(rows.values(), self.rounded_weight(self.weight))

    def _rounded(self, x: Any) -> Rounded:
        if self.input is None:
            return x
        protected = None if self._state is None else self._state.protected(x)
        return self.input.rounded(x, protected)

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"{self.in_channels}, {self.out_channels}, bias={self.bias is not None}"
