"""convert: makes an INT8 model from one that was trained quantized."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch_geometric.data import Data

from pyg_hag.hag import HAG
from pyg_hag.quantization.int8.attention import INT8GAT
from pyg_hag.quantization.int8.deferred import Deferred
from pyg_hag.quantization.int8.modules import Affine, INT8Linear
from pyg_hag.quantization.int8.quantizer import Quantizer
from pyg_hag.quantization.int8.tensor import (
    materialize,
    norm_as_affine,
    record_norms,
)
from pyg_hag.quantization.qat.attention import QuantizedGAT
from pyg_hag.quantization.qat.base import QuantizedLayer
from pyg_hag.quantization.qat.calibrate import arguments
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.linear import QATLinear
from pyg_hag.quantization.qat.prepare import QATModel
from pyg_hag.utils.html import html_table
from pyg_hag.utils.tables import text_table

NEVER_RAN = "it has observed no values"


@dataclass(frozen=True)
class Conversion:
    """How a layer was converted.

    Attributes:
        name (str): Its name in the model; `""` for the model itself.
        layer (str): Its class.
        reason (str): Why it does not run in INT8; empty if it does.
    """

    name: str
    layer: str
    reason: str


class ConversionTable(list[Conversion]):
    """A list of conversions that prints as a table."""

    def __str__(self) -> str:
        return text_table(self._rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table("", self._rows())

    def _rows(self) -> list[list[str]]:
        header = ["module", "layer", "runs in"]
        runs = [f"float32: {c.reason}" if c.reason else "INT8" for c in self]
        names = [[c.name or "(model)", c.layer] for c in self]
        rows = [[*name, kind] for name, kind in zip(names, runs, strict=True)]
        return [header, *rows]


class INT8Model(nn.Module):
    """A model that runs in INT8, made by :func:`convert`.

    Takes the arguments of the model, with an `edge_index` or a HAG, and returns
    float32. It has no gradients.

    Attributes:
        layers (list[Conversion]): How each layer was converted; prints as a table.
    """

    def __init__(self, model: nn.Module, layers: ConversionTable) -> None:
        super().__init__()
        self.model = model
        self.layers = layers
        self.eval()

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the model."""
        out = self.model(*args, **kwargs)
        return tree_map(materialize, out)

    def train(self, mode: bool = True) -> "INT8Model":
        """Raises an error in training mode, which INT8 models do not have."""
        if mode:
            raise RuntimeError(
                "an INT8 model cannot be trained (got mode=True): train the model of "
                "'prepare_qat', and convert that"
            )
        return super().train(False)

    def _apply(self, fn: Any, recurse: bool = True) -> "INT8Model":
        """Refuses other dtypes, which would change its scales and biases."""
        dtype = fn(torch.empty(0, dtype=torch.float32, device="cpu")).dtype
        if dtype != torch.float32:
            raise TypeError(
                f"an INT8 model has scales and biases in float32, and cannot be "
                f"converted to another dtype (got {dtype}): it takes features of any "
                f"floating-point dtype, and returns float32"
            )
        return super()._apply(fn, recurse)


def convert(model: nn.Module, example: Any) -> INT8Model:
    r"""Makes a model that runs in INT8, on the CPU or on CUDA.

    Linear layers multiply uint8 features by int8 weights (on the CPU with oneDNN), and
    graph layers sum uint8 features as integers, over the HAG or the edges. What
    follows, such as bias, norm, ReLU, additions and the quantization for the next
    layer, is fused into the same kernels. The result is bitwise the same on every HAG
    of a graph. Attention weighs uint8 features by coefficients in float32, whose sums
    depend on the order of the edges in their last bits.

    .. code-block:: python

        fast = convert(quantized, (data.x, data.hag))
        out = fast(data.x, data.hag)
        print(fast.layers)

    Args:
        model (QATModel): A model trained after :func:`prepare_qat`, or the result of
            :func:`calibrate`. It is not changed.
        example: The inputs of one forward pass, which shows which norms follow which
            layers: a tuple of arguments, a dictionary of them, or a `Data` object.

    Returns:
        INT8Model: The model, on the device of `model`; `.to()` moves it. `layers` lists
        which layers run in float32, and why: also those that have not run so far.

    Raises:
        TypeError: If `model` is not quantized.
        ValueError: If it has not observed any values yet, or is on another device.
    """
    if not isinstance(model, QATModel):
        raise TypeError(
            f"'model' must be the result of 'prepare_qat' or 'calibrate' (got "
            f"{type(model).__name__})"
        )
    devices = {p.device for p in model.parameters()} or {torch.device("cpu")}
    device = devices.pop()
    if devices or device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"'model' must be on the CPU or on one CUDA device to run in INT8 (got "
            f"{[str(d) for d in (device, *devices)]}): use 'model.cpu()'"
        )
    if not isinstance(example, tuple | list | Mapping | Data):
        raise TypeError(
            f"'example' must be the inputs of one forward pass, such as "
            f"'(data.x, data.hag)', a dictionary of them or a Data object (got "
            f"{type(example).__name__})"
        )
    _check(model)
    with torch.inference_mode(False):
        inner = copy.deepcopy(model.model).eval().float().cpu()
        layers = ConversionTable()
        converted = INT8Model(_convert(inner, "", layers, {}), layers)
        args, kwargs = tree_map(_on_cpu, arguments(model.model, example))
        _fold_norms(converted, args, kwargs)
        return converted.to(device)


def _on_cpu(x: Any) -> Any:
    """A copy on the CPU, where norms are folded: all devices get the same numbers."""
    if isinstance(x, Tensor | HAG):
        return x.to("cpu")
    return copy.copy(x).to("cpu") if isinstance(x, Data) else x


def _check(model: QATModel) -> None:
    observers = [m for m in model.modules() if isinstance(m, FakeQuantize)]
    if not any(int(m.num_observed) for m in observers if not m.is_weight):
        raise ValueError(
            "'model' has not observed any values yet: train it, or use 'calibrate'"
        )


def _convert(
    module: nn.Module, name: str, layers: ConversionTable, done: dict[int, nn.Module]
) -> nn.Module:
    """Converts a module in place, or returns the one that replaces it."""
    if id(module) in done:
        return done[id(module)]
    done[id(module)] = module
    if isinstance(module, QuantizedLayer):
        reason = module.float_reason() or ""
        ran = _has_observed(module.quantizers)
        reason = reason if ran else NEVER_RAN
        layers.append(Conversion(name, _original_name(module), reason))
        if not ran:
            module.to_float()
        elif isinstance(module, QuantizedGAT):
            if not reason:
                done[id(module)] = _attention(module, name, layers, done)
            return done[id(module)]
        else:
            for key, quantizer in module.quantizers.items():
                assert isinstance(quantizer, FakeQuantize)
                module.quantizers[key] = Quantizer(quantizer)
    elif isinstance(module, QATLinear):
        ran = _has_observed(module.weight_fake_quant)
        done[id(module)] = INT8Linear(module) if ran else module.to_float()
        layers.append(Conversion(name, "Linear", "" if ran else NEVER_RAN))
        return done[id(module)]
    for key, child in list(module._modules.items()):
        if child is not None and key != "quantizers":
            path = f"{name}.{key}" if name else key
            module._modules[key] = _convert(child, path, layers, done)
    return module


def _attention(
    layer: QuantizedGAT, name: str, layers: ConversionTable, done: dict[int, nn.Module]
) -> nn.Module:
    """A layer of attention in INT8, with its linear layers."""
    children: dict[str, Any] = {}
    for key, child in list(layer._modules.items()):
        if isinstance(child, QATLinear):
            path = f"{name}.{key}" if name else key
            children[key] = _convert(child, path, layers, done)
    return INT8GAT(layer, children)


def _has_observed(module: nn.Module) -> bool:
    """Whether a quantizer in a module has observed values."""
    observers = [m for m in module.modules() if isinstance(m, FakeQuantize)]
    return any(int(m.num_observed) > 0 for m in observers)


def _original_name(module: nn.Module) -> str:
    cls: Any = type(module)
    while getattr(cls, "pyg_class", None) is not None:
        cls = cls.pyg_class
    return str(cls.__name__)


# Norms ########################################################################


def _fold_norms(model: INT8Model, args: Any, kwargs: Any) -> None:
    """Folds norms into the linear layers before them, or makes them affine."""
    calls: Counter[int] = Counter()
    hooks = [
        module.register_forward_hook(lambda m, *_: calls.update([id(m)]))
        for module in model.modules()
        if isinstance(module, INT8Linear)
    ]
    try:
        with record_norms() as record:
            model(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    inputs: dict[int, list[Deferred]] = {}
    for deferred, mean in record:
        inputs.setdefault(id(mean), []).append(deferred)
    for parent in list(model.modules()):
        for key, norm in list(parent._modules.items()):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                found = inputs.get(id(norm.running_mean))
                if found:
                    parent._modules[key] = _fold_norm(norm, found, calls)


def _fold_norm(norm: Any, inputs: list[Deferred], calls: Counter[int]) -> nn.Module:
    """The module that replaces a norm with these deferred inputs."""
    channel_scale, shift = norm_as_affine(
        norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps
    )
    channel_scale, shift = channel_scale.detach(), shift.detach()
    source, epilogue = inputs[0].source, inputs[0].epilogue
    once = len(inputs) == 1 and calls[id(source)] == 1
    follows_directly = (
        epilogue.channel_scale is None
        and epilogue.residual is None
        and not epilogue.relu
    )
    if not (once and follows_directly and isinstance(source, INT8Linear)):
        return Affine(channel_scale, shift)
    if epilogue.bias is not source.bias:
        return Affine(channel_scale, shift)
    source.fold(channel_scale, shift)
    return nn.Identity()
