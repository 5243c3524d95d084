"""From a model that was trained quantized to one that runs in INT8."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch_geometric.data import Data

from pyg_hag._table import text_table
from pyg_hag.hag import HAG
from pyg_hag.ops.codes import products_are_exact
from pyg_hag.quantization import _pending
from pyg_hag.quantization._quantized import Quantized
from pyg_hag.quantization.calibrate import arguments
from pyg_hag.quantization.fake_quantize import FakeQuantize
from pyg_hag.quantization.int8 import Affine, INT8Linear, Rounder
from pyg_hag.quantization.linear import QATLinear
from pyg_hag.quantization.prepare import QATModel


@dataclass(frozen=True)
class Conversion:
    """What became of one layer.

    Attributes:
        name (str): Its name in the model, `""` for the model itself.
        layer (str): Its class.
        reason (str): Why it does not run in INT8; empty if it does.
    """

    name: str
    layer: str
    reason: str


class ConversionTable(list[Conversion]):
    """One row for each layer; prints as a table."""

    def __str__(self) -> str:
        header = ["module", "layer", "runs in"]
        runs = [f"float32: {c.reason}" if c.reason else "INT8" for c in self]
        names = [[c.name or "(model)", c.layer] for c in self]
        rows = [[*name, kind] for name, kind in zip(names, runs, strict=True)]
        return text_table([header, *rows])

    __repr__ = __str__


class INT8Model(nn.Module):
    """A model that runs in INT8 on the CPU; made by :func:`convert`.

    Takes what the model took, `edge_index` or HAG, and returns float32. It has no
    gradients.

    Attributes:
        layers (list[Conversion]): What became of each layer; prints as a table.
    """

    def __init__(self, model: nn.Module, layers: ConversionTable) -> None:
        super().__init__()
        self.model = model
        self.layers = layers
        self.eval()

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output."""
        out = self.model(*args, **kwargs)
        return tree_map(_pending.computed, out)

    def train(self, mode: bool = True) -> "INT8Model":
        """Stays in evaluation: raises if it is asked to train."""
        if mode:
            raise RuntimeError(
                "an INT8 model cannot be trained: train what 'prepare_qat' gives and "
                "convert that"
            )
        return super().train(False)


def convert(model: nn.Module, example: Any) -> INT8Model:
    r"""Makes a model that runs in INT8, on the CPU or on CUDA.

    Linear layers multiply uint8 codes with int8 weights (on the CPU by oneDNN), graph
    layers sum codes in whole numbers over the HAG or the edges, and what comes behind,
    such as bias, norm, ReLU, additions and the rounding to the codes of the next layer,
    happens in the same kernel. On every HAG of a graph the result has the same bits.

    .. code-block:: python

        fast = convert(quantized, (data.x, data.hag))
        out = fast(data.x, data.hag)
        print(fast.layers)

    Args:
        model (QATModel): A model that was trained after :func:`prepare_qat`, or what
            :func:`calibrate` returns. It is left alone.
        example: What to call the model with once: a tuple of arguments, a dictionary,
            or a `Data` object; it shows which norms stand behind which layers.

    Returns:
        INT8Model: The model, where the other one is. `layers` tells which layers run
        in float32, and why. It may be moved with `.to()`.

    Raises:
        TypeError: If `model` is not quantized.
        ValueError: If it has observed nothing yet, or is on another device.
        RuntimeError: If the processor's products of codes are not exact.
    """
    if not isinstance(model, QATModel):
        raise TypeError(
            f"'model' must be what 'prepare_qat' or 'calibrate' returns (got "
            f"{type(model).__name__})"
        )
    devices = {p.device for p in model.parameters()} or {torch.device("cpu")}
    device = devices.pop()
    if devices or device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"'model' must be on the CPU or on one CUDA device, where INT8 runs (got "
            f"{[str(d) for d in (device, *devices)]}): use 'model.cpu()'"
        )
    _check(model)
    if device.type == "cpu" and not products_are_exact():
        raise RuntimeError(
            "this processor cuts off sums of products of codes (it has no VNNI "
            "instructions), so that an INT8 model would be wrong on it: run the "
            "quantized model instead"
        )
    inner = copy.deepcopy(model.model).eval().float().cpu()
    layers = ConversionTable()
    converted = INT8Model(_replaced(inner, "", layers, {}), layers)
    args, kwargs = tree_map(_on_cpu, arguments(model.model, example))
    _fold_norms(converted, args, kwargs)
    return converted.to(device)


def _on_cpu(x: Any) -> Any:
    """The same on the CPU, where norms are folded: all devices get the same numbers."""
    if isinstance(x, Tensor | HAG):
        return x.to("cpu")
    return copy.copy(x).to("cpu") if isinstance(x, Data) else x


def _check(model: QATModel) -> None:
    observers = [m for m in model.modules() if isinstance(m, FakeQuantize)]
    if not any(int(m.num_observed) for m in observers if not m.is_weight):
        raise ValueError(
            "'model' has observed no values yet: train it, or use 'calibrate'"
        )


def _replaced(
    module: nn.Module, name: str, layers: ConversionTable, done: dict[int, nn.Module]
) -> nn.Module:
    """The module in INT8, in place, or what takes its place."""
    if id(module) in done:
        return done[id(module)]
    done[id(module)] = module
    if isinstance(module, Quantized):
        reason = module.why_float() or ""
        layers.append(Conversion(name, _original_name(module), reason))
        if not module.has_codes:
            return module
        for key, quantizer in module.quantizers.items():
            assert isinstance(quantizer, FakeQuantize)
            module.quantizers[key] = Rounder(quantizer)
    elif isinstance(module, QATLinear):
        done[id(module)] = INT8Linear(module)
        layers.append(Conversion(name, "Linear", ""))
        return done[id(module)]
    for key, child in list(module._modules.items()):
        if child is not None and key != "quantizers":
            path = f"{name}.{key}" if name else key
            module._modules[key] = _replaced(child, path, layers, done)
    return module


def _original_name(module: nn.Module) -> str:
    cls: Any = type(module)
    while getattr(cls, "_pyg_class", None) is not None:
        cls = cls._pyg_class
    return str(cls.__name__)


# Norms ########################################################################


def _fold_norms(model: INT8Model, args: Any, kwargs: Any) -> None:
    """Folds norms into the linear layers before them, or makes them affine."""
    seen: list[tuple[_pending.Pending, Tensor]] = []
    _pending._recorders.append(seen)
    calls: dict[int, int] = {}
    hooks = [
        module.register_forward_hook(lambda m, *_: _count(calls, m))
        for module in model.modules()
        if isinstance(module, INT8Linear)
    ]
    try:
        model(*args, **kwargs)
    finally:
        _pending._recorders.remove(seen)
        for hook in hooks:
            hook.remove()
    behind: dict[int, list[Any]] = {}
    for pending, mean in seen:
        behind.setdefault(id(mean), []).append(pending)
    for parent in list(model.modules()):
        for key, norm in list(parent._modules.items()):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                found = behind.get(id(norm.running_mean))
                if found:
                    parent._modules[key] = _folded(norm, found, calls)


def _count(calls: dict[int, int], module: nn.Module) -> None:
    calls[id(module)] = calls.get(id(module), 0) + 1


def _folded(norm: Any, found: list[Any], calls: dict[int, int]) -> nn.Module:
    gain, shift = _pending.folded(
        norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps
    )
    gain, shift = gain.detach(), shift.detach()
    source, after = found[0].source, found[0].after
    alone = len(found) == 1 and calls.get(id(source)) == 1
    fresh = after.gain is None and after.rest is None and not after.relu
    if not (alone and fresh and isinstance(source, INT8Linear)):
        return Affine(gain, shift)
    if after.bias is not source.bias:
        return Affine(gain, shift)
    source.fold(gain, shift)
    return nn.Identity()
