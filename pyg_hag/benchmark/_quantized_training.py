"""Trains and tests models, quantized or not: the recipes of the accuracy benchmark."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import nn as pyg

from pyg_hag.benchmark._networks import AttentionNet, GINClassifier, SumNet
from pyg_hag.benchmark._splits import Split
from pyg_hag.nn import to_hag
from pyg_hag.quantization import (
    DegreeQuantConfig,
    DegreeQuantTransform,
    QATModel,
    convert,
    prepare_qat,
)


@dataclass(frozen=True)
class Method:
    """How a model is quantized, and how likely each node is protected."""

    config: DegreeQuantConfig | None = None
    """None for float32."""
    transform: DegreeQuantTransform | None = None
    """None if no node is protected."""

    @property
    def bits(self) -> int:
        """The bits of its values: 32, 8 or 4."""
        return 32 if self.config is None else self.config.bits


_PLAIN = DegreeQuantConfig(
    protect=False, ranges="minmax", per_channel=False, gradient="straight_through"
)
METHODS = {
    "float32": Method(),
    "INT8, plain": Method(_PLAIN),
    "INT8, Degree-Quant": Method(DegreeQuantConfig(), DegreeQuantTransform(0.0, 0.1)),
    "INT4, plain": Method(replace(_PLAIN, bits=4)),
    "INT4, Degree-Quant": Method(
        DegreeQuantConfig(bits=4), DegreeQuantTransform(0.1, 0.2)
    ),
}
"""The methods to compare. Plain quantization takes the minimum and maximum of whole
tensors as ranges, and straight-through gradients."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained with Adam."""

    make: Callable[[int, int], nn.Module]
    """Makes the model for numbers of features and classes."""
    learning_rate: dict[int, float]
    """By bits: 32, 8, 4."""
    weight_decay: dict[int, float]
    """By bits: 32, 8, 4."""
    batch: int | None = None
    """Graphs in a batch; None for all at once."""
    halved: bool = False
    """Whether the learning rate is halved after each quarter of the epochs."""


def _for_all_bits(value: float) -> dict[int, float]:
    return dict.fromkeys((32, 8, 4), value)


NODE_RECIPES = {
    "GCN": Recipe(
        lambda f, c: pyg.GCN(f, 16, 2, c, dropout=0.5),
        _for_all_bits(0.01),
        _for_all_bits(5e-4),
    ),
    "SAGE": Recipe(
        lambda f, c: pyg.GraphSAGE(f, 16, 2, c, dropout=0.5),
        _for_all_bits(0.01),
        _for_all_bits(5e-4),
    ),
    "GIN": Recipe(SumNet, _for_all_bits(0.005), _for_all_bits(5e-4)),
    "GAT": Recipe(AttentionNet, _for_all_bits(0.005), _for_all_bits(5e-4)),
}
GRAPH_RECIPES = {
    "GIN": Recipe(
        lambda f, c: GINClassifier(f, 64, 5, c),
        {32: 0.005, 8: 0.005, 4: 0.001},
        {32: 0.0, 8: 2e-4, 4: 4e-5},
        batch=128,
        halved=True,
    ),
}


def train(
    recipe: Recipe, split: Split, method: Method, seed: int, epochs: int
) -> nn.Module:
    """Trains a model, and returns it as of the epoch with the best validation."""
    torch.manual_seed(seed)
    model = _make_model(recipe, split, method, seed)
    optimizer = torch.optim.Adam(
        model.parameters(),
        recipe.learning_rate[method.bits],
        weight_decay=recipe.weight_decay[method.bits],
    )
    best, state = (-1.0, -math.inf), model.state_dict()
    for epoch in range(epochs):
        if recipe.halved and epoch and epoch % max(1, epochs // 4) == 0:
            for group in optimizer.param_groups:
                group["lr"] /= 2
        model.train()
        for batch in split.train:
            optimizer.zero_grad()
            _loss(model, batch, method).backward()
            optimizer.step()
        loss, accuracy = evaluate(model, split.validation, "val")
        # There are few graphs, so their accuracy is coarse:
        now = (accuracy if split.is_of_nodes else 0.0), -loss
        if now >= best:
            best, state = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def _make_model(recipe: Recipe, split: Split, method: Method, seed: int) -> nn.Module:
    model = recipe.make(split.num_features, split.num_classes)
    if method.config is None:
        converted: nn.Module = to_hag(model)
        return converted
    return prepare_qat(model, replace(method.config, seed=seed))


def _loss(model: nn.Module, batch: Any, method: Method) -> Tensor:
    kwargs = {}
    if method.transform is not None:
        kwargs["protect_prob"] = batch.protect_prob
    out, y = _logits(model, batch, "train", **kwargs)
    return F.cross_entropy(out, y)


def _logits(
    model: nn.Module, batch: Any, mask: str, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """The logits and labels of the masked nodes, or of the graphs."""
    if f"{mask}_mask" in batch:
        chosen = batch[f"{mask}_mask"]
        return model(batch.x, batch.hag, **kwargs)[chosen], batch.y[chosen]
    return model(batch.x, batch.hag, batch.batch, **kwargs), batch.y


@torch.no_grad()
def evaluate(model: nn.Module, batches: list[Any], mask: str) -> tuple[float, float]:
    """The mean loss and the accuracy."""
    model.eval()
    total, correct, count = 0.0, 0, 0
    for batch in batches:
        out, y = _logits(model, batch, mask)
        total += float(F.cross_entropy(out, y, reduction="sum"))
        correct += int((out.argmax(1) == y).sum())
        count += y.numel()
    return total / count, correct / count


@torch.no_grad()
def int8_agreement(model: nn.Module, batches: list[Any], mask: str) -> float:
    """The share of predictions that a quantized model keeps once it is converted."""
    if not isinstance(model, QATModel):
        return 1.0
    first = batches[0]
    inputs = [first.x, first.hag]
    if f"{mask}_mask" not in first:
        inputs.append(first.batch)
    fast = convert(model, tuple(inputs))
    equal, count = 0, 0
    for batch in batches:
        expected, _ = _logits(model, batch, mask)
        out, _ = _logits(fast, batch, mask)
        equal += int((out.argmax(1) == expected.argmax(1)).sum())
        count += len(expected)
    return equal / count
