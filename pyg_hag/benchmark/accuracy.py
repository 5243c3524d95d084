"""How accurate quantized models are: float32, plain training, Degree-Quant."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.transforms as T
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from pyg_hag.benchmark._networks import (
    AttentionNet,
    GINClassifier,
    SumNet,
    degrees_as_features,
)
from pyg_hag.benchmark._report import read_csv, write_csv
from pyg_hag.datasets import load_graphs
from pyg_hag.nn import to_hag
from pyg_hag.quantization import (
    DegreeQuantConfig,
    DegreeQuantTransform,
    QATModel,
    convert,
    prepare_qat,
)
from pyg_hag.transforms import HAGTransform

NODES = ("Cora", "CiteSeer", "PubMed")
"""Data sets whose nodes are classified, on the split they come with."""
KEYS = ("dataset", "model", "method", "run", "epochs")
HEADER = ["dataset", "model", "method", "accuracy", "runs", "epochs", "equal"]
_PLAIN = DegreeQuantConfig(
    p_max=0.0, ranges="minmax", per_channel=False, gradient="straight_through"
)
METHODS: dict[str, DegreeQuantConfig | None] = {
    "float32": None,
    "INT8, plain": _PLAIN,
    "INT8, Degree-Quant": DegreeQuantConfig(),
    "INT4, plain": replace(_PLAIN, bits=4),
    "INT4, Degree-Quant": DegreeQuantConfig(bits=4, p_min=0.1, p_max=0.2),
}
"""What is compared: plain training has minimum and maximum of whole tensors as ranges,
and gradients that pass straight through."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, by Adam."""

    make: Callable[[int, int], nn.Module]
    """The model, of numbers of features and classes."""
    learning_rate: dict[int, float]
    """By bits: 32, 8, 4."""
    weight_decay: dict[int, float]
    batch: int | None = None
    """Graphs in a batch; None for all at once."""
    halved: bool = False
    """Whether the learning rate is halved after each quarter of the epochs."""


def _alike(value: float) -> dict[int, float]:
    return dict.fromkeys((32, 8, 4), value)


OF_NODES = {
    "GCN": Recipe(
        lambda f, c: pyg.GCN(f, 16, 2, c, dropout=0.5), _alike(0.01), _alike(5e-4)
    ),
    "SAGE": Recipe(
        lambda f, c: pyg.GraphSAGE(f, 16, 2, c, dropout=0.5), _alike(0.01), _alike(5e-4)
    ),
    "GIN": Recipe(SumNet, _alike(0.005), _alike(5e-4)),
    "GAT": Recipe(AttentionNet, _alike(0.005), _alike(5e-4)),
}
OF_GRAPHS = {
    "GIN": Recipe(
        lambda f, c: GINClassifier(f, 64, 5, c),
        {32: 0.005, 8: 0.005, 4: 0.001},
        {32: 0.0, 8: 2e-4, 4: 4e-5},
        batch=128,
        halved=True,
    ),
}


class Split(NamedTuple):
    """What one run trains on: batches of training, validation and test."""

    train: Any
    validation: list[Any]
    test: list[Any]
    features: int
    classes: int
    is_of_nodes: bool


def run(
    names: list[str],
    root: str | None,
    out: str | None,
    models: list[str] | None = None,
    methods: list[str] | None = None,
    runs: int = 10,
    epochs: int = 200,
    save: str | None = None,
    first: int = 0,
) -> list[list[str]]:
    """Trains models quantized and not, and tests them.

    Nodes are classified with as many seeds as there are runs; graphs by 10-fold
    cross-validation (GIN's folds of labels), with the next fold for validation. The
    test is that of the epoch with the highest validation accuracy for nodes, and with
    the lowest validation loss for graphs and among equals.

    Args:
        names: Data sets.
        root: Their folder.
        out: A CSV file to write, one row for each run. What it has is not run again:
            a long comparison goes on where it was stopped.
        models: Some of the models; all by default.
        methods: Some of :data:`METHODS`; all by default.
        runs: Seeds, or folds, at most 10.
        epochs: How long each trains.
        save: A folder for the trained models, made if it is not there.
        first: The first seed, or fold.

    Returns:
        list[list[str]]: A table of means and standard deviations in percent, and the
        share of test predictions that are the same once the model is converted.
    """
    if save is not None:
        Path(save).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [] if out is None else [*read_csv(out)]
    done = {tuple(str(row[key]) for key in KEYS) for row in rows}
    for name in names:
        recipes = OF_NODES if name in NODES else OF_GRAPHS
        wrong = [model for model in models or () if model not in recipes]
        if wrong:
            raise ValueError(
                f"'--model' must be one of {list(recipes)} for {name} (got "
                f"{wrong[0]!r})"
            )
        graphs: list[Data] = []
        for model, method in product(models or recipes, methods or METHODS):
            label = f"{name}, {model}, {method}"
            for number in tqdm(range(first, first + runs), label):
                values = name, model, method, str(number), str(epochs)
                if values in done:
                    continue
                graphs = graphs or _prepared(name, root)
                split = _split(name, graphs, number, recipes[model].batch)
                trained = _trained(recipes[model], split, method, number, epochs)
                row = {
                    **dict(zip(KEYS, values, strict=True)),
                    "accuracy": tested(trained, split.test, "test")[1],
                    "equal": agreement(trained, split.test, "test"),
                }
                rows.append(row)
                if save is not None:
                    file = f"{name} {model} {method} {number}.pt"
                    torch.save(trained, Path(save) / file)
                if out is not None:
                    write_csv(out, rows)
    return [HEADER, *_table(rows)]


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    together: dict[tuple[str, ...], list[float]] = {}
    equal: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        key = row["dataset"], row["model"], row["method"], row["epochs"]
        together.setdefault(key, []).append(100 * float(row["accuracy"]))
        equal.setdefault(key, []).append(100 * float(row["equal"]))
    return [
        [
            *key[:3],
            f"{mean(values):.1f} ± {stdev(values) if len(values) > 1 else 0:.1f}",
            str(len(values)),
            key[3],
            "-" if key[2] == "float32" else f"{mean(equal[key]):.2f} %",
        ]
        for key, values in together.items()
    ]


# Data #########################################################################


def _prepared(name: str, root: str | None) -> list[Data]:
    """The graphs with features, HAGs, and probabilities of being protected."""
    graphs = load_graphs(name, root)
    before: list[Any] = []
    if name in NODES:
        before.append(T.NormalizeFeatures())
    elif graphs[0].x is None:
        before.append(degrees_as_features(graphs))
    steps = [*before, DegreeQuantTransform(0.0, 0.1), HAGTransform()]
    return [T.Compose(steps)(graph) for graph in tqdm(graphs, f"{name}, HAGs")]


def _split(name: str, graphs: list[Data], number: int, batch: int | None) -> Split:
    if name in NODES:
        (data,) = graphs
        whole = [data]
        classes = int(data.y.max()) + 1
        return Split(whole, whole, whole, data.num_features, classes, True)
    y = torch.cat([graph.y for graph in graphs])
    fold = _folds(y.numpy())
    parts = {
        "test": [g for g, f in zip(graphs, fold, strict=True) if f == number],
        "validation": [
            g for g, f in zip(graphs, fold, strict=True) if f == (number + 1) % 10
        ],
    }
    train = [
        g
        for g, f in zip(graphs, fold, strict=True)
        if f not in (number, (number + 1) % 10)
    ]
    loader = DataLoader(train, batch or len(train), shuffle=True)
    fixed = {key: [Batch.from_data_list(part)] for key, part in parts.items()}
    classes = int(y.max()) + 1
    return Split(
        loader,
        fixed["validation"],
        fixed["test"],
        graphs[0].num_features,
        classes,
        False,
    )


def _folds(y: Any) -> Any:
    """Ten folds with the labels evenly spread, always the same."""
    rng = np.random.default_rng(12345)
    fold = np.empty(y.size, np.int64)
    start = 0
    for label in np.unique(y):
        places = rng.permutation(np.flatnonzero(y == label))
        fold[places] = (start + np.arange(places.size)) % 10
        start += places.size
    return fold


# Training #####################################################################


def _trained(
    recipe: Recipe, split: Split, method: str, seed: int, epochs: int
) -> nn.Module:
    """The model as it was at the epoch of the best validation."""
    torch.manual_seed(seed)
    config = METHODS[method]
    original = recipe.make(split.features, split.classes)
    bits = 32 if config is None else config.bits
    if config is None:
        model = to_hag(original)
    else:
        model = prepare_qat(original, replace(config, seed=seed))
    optimizer = torch.optim.Adam(
        model.parameters(),
        recipe.learning_rate[bits],
        weight_decay=recipe.weight_decay[bits],
    )
    best, state = (-1.0, -math.inf), model.state_dict()
    for epoch in range(epochs):
        if recipe.halved and epoch and epoch % max(1, epochs // 4) == 0:
            for group in optimizer.param_groups:
                group["lr"] /= 2
        model.train()
        for batch in split.train:
            optimizer.zero_grad()
            _loss(model, batch, "train", config).backward()
            optimizer.step()
        loss, accuracy = tested(model, split.validation, "val")
        # Graphs are few, and their accuracies are coarse:
        now = (accuracy if split.is_of_nodes else 0.0), -loss
        if now >= best:
            best, state = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def _loss(
    model: nn.Module, batch: Any, mask: str, config: DegreeQuantConfig | None
) -> Tensor:
    kwargs = {}
    if config is not None and config.p_max > 0:
        span = config.p_max - config.p_min  # the data have it from 0 to 0.1
        kwargs["protect_prob"] = config.p_min + 10 * span * batch.protect_prob
    out, y = _logits(model, batch, mask, **kwargs)
    return F.cross_entropy(out, y)


def _logits(
    model: nn.Module, batch: Any, mask: str, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    if f"{mask}_mask" in batch:
        chosen = batch[f"{mask}_mask"]
        return model(batch.x, batch.hag, **kwargs)[chosen], batch.y[chosen]
    return model(batch.x, batch.hag, batch.batch, **kwargs), batch.y


@torch.no_grad()
def tested(model: nn.Module, batches: list[Any], mask: str) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.eval()
    total, right, count = 0.0, 0, 0
    for batch in batches:
        out, y = _logits(model, batch, mask)
        total += float(F.cross_entropy(out, y, reduction="sum"))
        right += int((out.argmax(1) == y).sum())
        count += y.numel()
    return total / count, right / count


@torch.no_grad()
def agreement(model: nn.Module, batches: list[Any], mask: str) -> float:
    """The share of predictions that stay when a quantized model is converted."""
    if not isinstance(model, QATModel):
        return 1.0
    first = batches[0]
    whole = f"{mask}_mask" in first
    fast = convert(
        model, (first.x, first.hag) if whole else (first.x, first.hag, first.batch)
    )
    equal, count = 0, 0
    for batch in batches:
        wanted, _ = _logits(model, batch, mask)
        out, _ = _logits(fast, batch, mask)
        equal += int((out.argmax(1) == wanted.argmax(1)).sum())
        count += len(wanted)
    return equal / count
