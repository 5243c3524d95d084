"""QATLinear: a linear layer that trains quantized."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import nn as pyg

from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.features import QuantizedFeatures
from pyg_hag.quantization.qat.state import QATState


class QATLinear(nn.Module):
    r"""A linear layer with fake-quantized inputs and weights.

    .. math::
        \mathbf{y} = \hat{\mathbf{x}} \hat{\mathbf{W}}^\top + \mathbf{b}

    Args:
        linear: A linear layer of PyTorch or PyG, whose parameters it takes.
        config (DegreeQuantConfig): How to quantize.
        state (QATState, optional): The protected nodes, if rows are nodes.
        reads_quantized (bool): Whether its inputs are quantized already.

    Raises:
        ValueError: If the layer is lazy and has not seen its input size yet.
    """

    weight: Tensor

    def __init__(
        self,
        linear: Any,
        config: DegreeQuantConfig,
        state: QATState | None = None,
        reads_quantized: bool = False,
    ) -> None:
        super().__init__()
        if nn.parameter.is_lazy(linear.weight):
            raise ValueError(
                "'model' has a linear layer that does not know its input size yet: "
                "call the model once before"
            )
        self.weight, self.bias = linear.weight, linear.bias
        self.out_channels, self.in_channels = linear.weight.shape
        self.input = None if reads_quantized else FakeQuantize(config)
        self.weight_fake_quant = FakeQuantize(config, self.out_channels)
        self.to(linear.weight.device)
        self._state = state
        self._initializers: tuple[Any, Any] | None = None
        if isinstance(linear, pyg.Linear):
            self._initializers = linear.weight_initializer, linear.bias_initializer

    def forward(self, x: Any) -> Tensor:
        """The linear layer on features, or on quantized features if it reads those."""
        out = self.product(self._quantize(x))
        return out if self.bias is None else out + self.bias

    def product(self, x: QuantizedFeatures) -> Tensor:
        """The product of quantized features and the weight, without the bias."""
        return F.linear(x.dequantize(), self.weight_fake_quant(self.weight))

    def _quantize(self, x: Any) -> QuantizedFeatures:
        if self.input is None:
            features: QuantizedFeatures = x
            return features
        protected = None if self._state is None else self._state.protected_rows(x)
        return self.input.quantize(x, protected)

    def to_float(self) -> nn.Module:
        """The linear layer that is not quantized, with the same parameters."""
        sizes, bias = (self.in_channels, self.out_channels), self.bias is not None
        with torch.device("meta"):
            if self._initializers is None:
                linear: Any = nn.Linear(*sizes, bias)
            else:
                linear = pyg.Linear(*sizes, bias, *self._initializers)
        linear.weight, linear.bias = self.weight, self.bias
        return linear.train(self.training)

    def reset_parameters(self) -> None:
        """Draws new parameters like the layer it was made of, and forgets ranges."""
        self.to_float().reset_parameters()  # type: ignore[operator]
        for module in (self.input, self.weight_fake_quant):
            if module is not None:
                module.reset_parameters()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        old = f"{prefix}rounded_weight."  # its name up to version 0.1
        for key in [key for key in state_dict if key.startswith(old)]:
            new = f"{prefix}weight_fake_quant.{key.removeprefix(old)}"
            state_dict[new] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """The sizes of the layer."""
        return f"{self.in_channels}, {self.out_channels}, bias={self.bias is not None}"
