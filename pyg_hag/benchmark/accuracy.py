"""Benchmark of accuracy: float32, plain quantization and Degree-Quant."""

from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch_geometric.data import Data
from tqdm.auto import tqdm

from pyg_hag.benchmark._quantized_training import (
    GRAPH_RECIPES,
    METHODS,
    NODE_RECIPES,
    Method,
    Recipe,
    evaluate,
    int8_agreement,
    train,
)
from pyg_hag.benchmark._report import read_csv, write_csv
from pyg_hag.benchmark._splits import NODE_DATASETS, make_split, prepare_graphs

KEYS = ("dataset", "model", "method", "run", "epochs")
HEADER = ["dataset", "model", "method", "accuracy", "runs", "epochs", "equal"]


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
    """Trains models, quantized and not, and tests them.

    Each run classifies nodes with its own seed, or graphs in one fold of a 10-fold
    cross-validation (GIN's folds of labels), with the next fold for validation. The
    test is that of the epoch with the highest validation accuracy for nodes, and the
    lowest validation loss for graphs and among equals.

    Args:
        names: Data sets.
        root: Their folder.
        out: A CSV file to write, one row for each run. Runs that it has are skipped, so
            that an interrupted comparison can be resumed.
        models: Some of the models; all by default.
        methods: Some of :data:`METHODS`; all by default.
        runs: The number of seeds, or of folds, at most 10.
        epochs: The number of epochs.
        save: A folder for the trained models, created if it does not exist.
        first: The first seed, or fold.

    Returns:
        list[list[str]]: A table of means and standard deviations in percent, and the
        share of test predictions that stay the same once the model is converted.
    """
    if save is not None:
        Path(save).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [] if out is None else [*read_csv(out)]
    done = {tuple(str(row[key]) for key in KEYS) for row in rows}
    for name in names:
        recipes = _recipes(name, models)
        graphs: list[Data] = []
        for (model, recipe), method in product(recipes.items(), methods or METHODS):
            label = f"{name}, {model}, {method}"
            for number in tqdm(range(first, first + runs), label):
                values = name, model, method, str(number), str(epochs)
                if values in done:
                    continue
                graphs = graphs or prepare_graphs(name, root)
                trained, results = _train_and_test(
                    name, graphs, recipe, METHODS[method], number, epochs
                )
                rows.append({**dict(zip(KEYS, values, strict=True)), **results})
                if save is not None:
                    file = f"{name} {model} {method} {number}.pt"
                    torch.save(trained, Path(save) / file)
                if out is not None:
                    write_csv(out, rows)
    return [HEADER, *_table(rows)]


def _recipes(name: str, models: list[str] | None) -> dict[str, Recipe]:
    """The recipes of some models, or of all, for a data set."""
    recipes = NODE_RECIPES if name in NODE_DATASETS else GRAPH_RECIPES
    unknown = [model for model in models or () if model not in recipes]
    if unknown:
        raise ValueError(
            f"'--model' must be one of {list(recipes)} for {name} (got {unknown[0]!r})"
        )
    return {model: recipes[model] for model in models or recipes}


def _train_and_test(
    name: str,
    graphs: list[Data],
    recipe: Recipe,
    method: Method,
    number: int,
    epochs: int,
) -> tuple[torch.nn.Module, dict[str, float]]:
    """The trained model of one run, and its results."""
    if method.transform is not None:
        graphs = [method.transform(graph) for graph in graphs]
    split = make_split(name, graphs, number, recipe.batch)
    model = train(recipe, split, method, number, epochs)
    accuracy = evaluate(model, split.test, "test")[1]
    return model, {
        "accuracy": accuracy,
        "equal": int8_agreement(model, split.test, "test"),
    }


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    accuracy: dict[tuple[str, ...], list[float]] = {}
    equal: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        key = row["dataset"], row["model"], row["method"], row["epochs"]
        accuracy.setdefault(key, []).append(100 * float(row["accuracy"]))
        equal.setdefault(key, []).append(100 * float(row["equal"]))
    return [
        [
            *key[:3],
            f"{mean(values):.1f} ± {stdev(values) if len(values) > 1 else 0:.1f}",
            str(len(values)),
            key[3],
            "-" if key[2] == "float32" else f"{mean(equal[key]):.2f} %",
        ]
        for key, values in accuracy.items()
    ]
