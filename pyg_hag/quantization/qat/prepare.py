"""prepare_qat: replaces the layers of a model by layers that train quantized."""

import copy
import functools
import re
from functools import partial
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_map
from torch_geometric.nn import MessagePassing

from pyg_hag.nn.convert import hag_class_of
from pyg_hag.nn.layer_classes import hag_layer_class, make_layer
from pyg_hag.nn.support import mixin_of
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.base import QuantizedLayer
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.layers import LAYERS
from pyg_hag.quantization.qat.linear import QATLinear
from pyg_hag.quantization.qat.protection import Protection
from pyg_hag.quantization.qat.state import QATState

_LINEAR_LAYERS = (nn.Linear, pyg.Linear)
_LAST = re.compile(r"\.?(quantizers\.\w+|input|weight_fake_quant)$")


class QATModel(nn.Module):
    """A model whose layers quantize their weights, features and messages.

    Made by :func:`prepare_qat`. Takes the arguments of the model, and a HAG in place of
    an `edge_index`. Runs without autocast: rounding to low-precision floats would undo
    the rounding to quantized values.

    Args:
        model (torch.nn.Module): The model, with layers that quantize.
        config (DegreeQuantConfig): How it is quantized.
        state (QATState): What its layers share.
    """

    def __init__(
        self, model: nn.Module, config: DegreeQuantConfig, state: QATState
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.protection = Protection(config.seed)
        self._state = state

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Loads the state of a quantized model (see :class:`torch.nn.Module`).

        Raises:
            ValueError: If it is the state of the model before :func:`prepare_qat`.
        """
        mine, given = {*self.state_dict()}, {*state_dict}
        inner = {key.removeprefix("model.") for key in mine}
        if given and not given & mine and given & inner:
            raise ValueError(
                "'state_dict' is that of a model that is not quantized: load it before "
                "'prepare_qat', or into 'model.model' with 'strict=False'"
            )
        return super().load_state_dict(state_dict, *args, **kwargs)

    def forward(
        self, *args: Any, protect_prob: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """The model's output.

        Args:
            *args: Positional arguments of the model.
            protect_prob (torch.Tensor, optional): The probability with which each node
                is protected, `data.protect_prob` of :class:`DegreeQuantTransform`.
                Required in training if `config.protect`; not used otherwise.
            **kwargs: Keyword arguments of the model.
        """
        self._state.protected_nodes = None
        if self.training and self.config.protect:
            if protect_prob is None:
                raise ValueError(
                    "'protect_prob' is missing (got None), which protects nodes "
                    "in training: pass 'data.protect_prob' of 'DegreeQuantTransform', "
                    "or use 'DegreeQuantConfig(protect=False)'"
                )
            self._state.protected_nodes = self.protection(protect_prob)
        parameters = [*self.parameters()]
        device = parameters[0].device.type if parameters else "cpu"
        if parameters and torch.is_autocast_enabled(device):
            cast = partial(_cast, dtype=parameters[0].dtype)
            args, kwargs = tree_map(cast, (args, kwargs))
            with torch.autocast(device, enabled=False):
                out = self.model(*args, **kwargs)
        else:
            out = self.model(*args, **kwargs)
        self._state.protected_nodes = None
        return out


def _cast(x: Any, dtype: torch.dtype) -> Any:
    """The value in this dtype, if it is a floating-point tensor."""
    casts = isinstance(x, Tensor) and x.is_floating_point() and x.dtype != dtype
    return x.to(dtype) if casts else x


def prepare_qat(model: nn.Module, config: DegreeQuantConfig | None = None) -> QATModel:
    r"""Makes a copy of a model that trains quantized, with protected nodes.

    Linear layers quantize their inputs and weights, and layers of PyG their messages,
    so that sums are sums of quantized values. In training, protected nodes are not
    quantized: their messages (by source), aggregates and updates (by destination) pass
    unchanged. Weights are always quantized (Tailor et al., `Degree-Quant
    <https://arxiv.org/abs/2008.05000>`_, ICLR 2021, Section 3.1). In evaluation, no
    node is protected.

    .. code-block:: python

        data = DegreeQuantTransform(p_min=0.0, p_max=0.1)(data)
        model = prepare_qat(model, DegreeQuantConfig())
        out = model(data.x, data.hag, protect_prob=data.protect_prob)

    Args:
        model (torch.nn.Module): A model whose graph layers are GCNConv, SAGEConv,
            GraphConv, GINConv, SGConv, EGConv or GATConv, from PyG or after
            :func:`pyg_hag.to_hag`. It is not changed.
        config (DegreeQuantConfig, optional): How to quantize it.

    Returns:
        QATModel: The copy, to train as usual.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has layers that cannot be quantized. The message lists
            them.
    """
    config = DegreeQuantConfig() if config is None else config
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"'model' must be a torch.nn.Module (got {type(model).__name__})"
        )
    if not isinstance(config, DegreeQuantConfig):
        raise TypeError(f"'config' must be a DegreeQuantConfig (got {config!r})")
    _check(model)
    state = QATState()
    with torch.inference_mode(False):  # whose tensors could not be trained
        replaced = _Replacement(config, state).of(copy.deepcopy(model))
        quantized = QATModel(replaced, config, state)
    for name, module in replaced.named_modules():
        if isinstance(module, FakeQuantize):
            module.layer = _LAST.sub("", name) or type(model).__name__
    return quantized


def _check(model: nn.Module) -> None:
    reasons = []
    for name, module in model.named_modules():
        name, layer = name or "(model)", type(module).__name__
        unknown = mixin_of(type(module), LAYERS) is None
        if isinstance(module, MessagePassing) and unknown:
            known = ", ".join(cls.__name__ for cls in LAYERS)
            reasons.append(f"{name} ({layer}): it is none of {known}")
        elif isinstance(module, QuantizedLayer):
            reasons.append(f"{name}: it is quantized already")
        elif isinstance(module, MessagePassing):
            mixin: Any = mixin_of(type(module), LAYERS)
            reason = mixin.unquantizable_reason(module)
            if reason is not None:
                reasons.append(f"{name} ({layer}): {reason}")
        elif _is_linear(module):
            reason = _hidden_computation(module)
            if reason is not None:
                reasons.append(f"{name} ({layer}): {reason}")
    if reasons:
        listed = "\n  ".join(reasons)
        raise ValueError(f"'model' has layers that cannot be quantized:\n  {listed}")


def _is_linear(module: nn.Module) -> bool:
    """Whether it is a linear layer, and nothing besides."""
    forwards = [cls.forward for cls in _LINEAR_LAYERS]
    return isinstance(module, _LINEAR_LAYERS) and type(module).forward in forwards


def _hidden_computation(module: nn.Module) -> str | None:
    """What a linear layer computes that its replacement would not; None if nothing."""
    if parametrize.is_parametrized(module):
        return (
            "its parameters are computed from others: call "
            "'torch.nn.utils.parametrize.remove_parametrizations' before"
        )
    weight: Any = module.weight
    if is_lazy(weight):  # refused with a better reason when it is replaced
        return None
    if module._forward_pre_hooks or module._forward_hooks or module._backward_hooks:
        return "it has hooks, which its quantized layer does not call: remove them"
    return None


class _Replacement:
    """Replaces the layers of a module by layers that quantize, in place, each once."""

    def __init__(self, config: DegreeQuantConfig, state: QATState) -> None:
        self.config, self.state = config, state
        self.done: dict[int, nn.Module] = {}

    def of(
        self, module: nn.Module, parent: QuantizedLayer | None = None, name: str = ""
    ) -> nn.Module:
        """The module, or the one that replaces it.

        Args:
            module (torch.nn.Module): The module.
            parent (QuantizedLayer, optional): The graph layer that contains it.
            name (str): Its name in the module that contains it.
        """
        if id(module) not in self.done:
            self.done[id(module)] = self._replace(module, parent, name)
        return self.done[id(module)]

    def _replace(
        self, module: nn.Module, parent: QuantizedLayer | None, name: str
    ) -> nn.Module:
        if _is_linear(module):
            reads_quantized = parent is not None and name in parent.reads_quantized
            state = self.state if parent and parent.protects_linear else None
            return QATLinear(module, self.config, state, reads_quantized)
        if isinstance(module, MessagePassing):
            cls: Any = type(module)
            module.__class__ = quantized_layer_class(cls)
            assert isinstance(module, QuantizedLayer)
            module._set_jittable_templates()
            parent = module
        elif (other := hag_class_of(module)) is not None:  # it passes graphs on
            module.__class__ = other
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = self.of(child, parent, name)
        if isinstance(module, QuantizedLayer):
            module.add_quantizers(self.config, self.state)
            module.quantizers.to(next((p.device for p in module.parameters()), "cpu"))
        return module


@functools.cache
def quantized_layer_class(cls: type) -> type:
    """The class of layers that train quantized, for a class of PyG or `pyg_hag.nn`."""
    if getattr(cls, "pyg_class", None) is None and mixin_of(cls) is not None:
        cls = hag_layer_class(cls)
    mixin = mixin_of(cls, LAYERS)
    assert mixin is not None
    return make_layer(f"QAT{cls.__name__}", mixin, cls, quantized_layer_class)
