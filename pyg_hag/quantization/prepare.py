"""From a model to one that trains quantized."""

import copy
import functools
from functools import partial
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch_geometric.nn import MessagePassing

from pyg_hag.nn._support import mixin_of
from pyg_hag.nn.convert import _sharing, make_layer
from pyg_hag.quantization._layers import LAYERS
from pyg_hag.quantization._quantized import Quantized
from pyg_hag.quantization._state import Forward
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.linear import QATLinear
from pyg_hag.quantization.protection import Protection

LINEAR = (nn.Linear, pyg.Linear)


class QATModel(nn.Module):
    """A model whose layers round their weights, features and messages.

    Made by :func:`prepare_qat`. Takes what the model took, and a HAG in place of an
    `edge_index`. Runs without autocast: what is rounded to codes must not be rounded to
    narrow floats.

    Args:
        model (torch.nn.Module): The model, with layers that round.
        config (DegreeQuantConfig): How it is quantized.
        state (Forward): What its layers share.
    """

    def __init__(
        self, model: nn.Module, config: DegreeQuantConfig, state: Forward
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.protection = Protection(config.seed)
        self._state = state

    def forward(
        self, *args: Any, protect_prob: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """The model's output.

        Args:
            *args: What the model takes.
            protect_prob (torch.Tensor, optional): The probability with which each node
                is protected, `data.protect_prob` of :class:`DegreeQuantTransform`.
                Needed while it trains, unless the configuration protects nobody.
            **kwargs: What the model takes.
        """
        if self.training and self.config.p_max > 0:
            if protect_prob is None:
                raise ValueError(
                    "'protect_prob' is missing, which protects nodes while the model "
                    "trains: pass 'data.protect_prob' of 'DegreeQuantTransform', or "
                    "set 'p_max=0'"
                )
            self._state.nodes = self.protection(protect_prob)
        else:
            self._state.nodes = None
        parameter = next(self.parameters(), None)
        if parameter is not None and torch.is_autocast_enabled(parameter.device.type):
            # What is rounded must not be rounded again, to narrow floats.
            args, kwargs = tree_map(
                partial(_cast, dtype=parameter.dtype), (args, kwargs)
            )
            with torch.autocast(parameter.device.type, enabled=False):
                out = self.model(*args, **kwargs)
        else:
            out = self.model(*args, **kwargs)
        self._state.nodes = None
        return out


def _cast(x: Any, dtype: torch.dtype) -> Any:
    narrow = isinstance(x, Tensor) and x.is_floating_point() and x.dtype != dtype
    return x.to(dtype) if narrow else x


def prepare_qat(model: nn.Module, config: DegreeQuantConfig | None = None) -> QATModel:
    r"""Makes a copy of a model that trains quantized, with protected nodes.

    Linear layers round inputs and weights, and layers of PyG their messages, such that
    sums are sums of codes. In training, protected nodes are not rounded: their
    messages (by source), aggregates and updates (by destination) pass as they are;
    weights are always rounded (Tailor et al., `Degree-Quant
    <https://arxiv.org/abs/2008.05000>`_, ICLR 2021, Section 3.1). In evaluation nobody
    is protected.

    .. code-block:: python

        data = DegreeQuantTransform(p_min=0.0, p_max=0.1)(data)
        model = prepare_qat(model, DegreeQuantConfig())
        out = model(data.x, data.hag, protect_prob=data.protect_prob)

    Args:
        model (torch.nn.Module): A model of GCNConv, SAGEConv, GraphConv, GINConv,
            SGConv, EGConv and GATConv, as PyG has them or after
            :func:`pyg_hag.to_hag`. It is left alone.
        config (DegreeQuantConfig, optional): How it is quantized.

    Returns:
        QATModel: The copy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has layers that cannot be quantized, with their names.
    """
    config = DegreeQuantConfig() if config is None else config
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"'model' must be a torch.nn.Module (got {type(model).__name__})"
        )
    if not isinstance(config, DegreeQuantConfig):
        raise TypeError(f"'config' must be a DegreeQuantConfig (got {config!r})")
    _check(model)
    state = Forward()
    return QATModel(_Rounding(config, state).of(copy.deepcopy(model)), config, state)


def _check(model: nn.Module) -> None:
    wrong = []
    for name, module in model.named_modules():
        if (
            isinstance(module, MessagePassing)
            and mixin_of(type(module), LAYERS) is None
        ):
            known = ", ".join(cls.__name__ for cls in LAYERS)
            wrong.append(f"{name or '(model)'} ({type(module).__name__}): not {known}")
        elif isinstance(module, pyg.SGConv) and module.cached:
            wrong.append(f"{name or '(model)'} (SGConv): 'cached' must be False")
        elif isinstance(module, Quantized):
            wrong.append(f"{name or '(model)'}: it is quantized already")
    if wrong:
        listed = "\n  ".join(wrong)
        raise ValueError(f"'model' has layers that cannot be quantized:\n  {listed}")


class _Rounding:
    """Makes the layers of a module round, in place, each once."""

    def __init__(self, config: DegreeQuantConfig, state: Forward) -> None:
        self.config, self.state = config, state
        self.done: dict[int, nn.Module] = {}

    def of(
        self, module: nn.Module, inside: Quantized | None = None, name: str = ""
    ) -> nn.Module:
        """The module, or what takes its place."""
        if id(module) not in self.done:
            self.done[id(module)] = self._made(module, inside, name)
        return self.done[id(module)]

    def _made(
        self, module: nn.Module, inside: Quantized | None, name: str
    ) -> nn.Module:
        if isinstance(module, LINEAR):
            exact = inside is not None and name in inside.exact
            state = self.state if inside and inside.protects_inside else None
            return QATLinear(module, self.config, state, exact)
        if isinstance(module, MessagePassing):
            cls: Any = type(module)
            module.__class__ = _quantized(cls)
            assert isinstance(module, Quantized)
            module._set_jittable_templates()
            inside = module
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = self.of(child, inside, name)
        if isinstance(module, Quantized):
            module.set_up(self.config, self.state)
            module.quantizers.to(next((p.device for p in module.parameters()), "cpu"))
        return module


@functools.cache
def _quantized(cls: type) -> type:
    """The class of layers that train quantized, of a class of PyG's or of ours."""
    if getattr(cls, "_pyg_class", None) is None and mixin_of(cls) is not None:
        cls = _sharing(cls)
    mixin = mixin_of(cls, LAYERS)
    assert mixin is not None
    return make_layer(f"QAT{cls.__name__}", mixin, cls, _quantized)
