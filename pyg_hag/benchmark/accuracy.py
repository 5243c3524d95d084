"""Benchmark of accuracy: float32, plain quantization and Degree-Quant."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import torch
from torch_geometric.data import Data
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._plots import plot_values
from pyg_hag.benchmark._published import DEGREE_QUANT, DEGREE_QUANT_SOURCES
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
from pyg_hag.benchmark._report import Rows, Table, grouped, read_csv
from pyg_hag.benchmark._splits import NODE_DATASETS, make_split, prepare_graphs
from pyg_hag.utils.files import replacing

KEYS = ("dataset", "model", "method", "run", "epochs")
HEADER = ["dataset", "model", "method", "accuracy", "runs", "epochs", "equal"]


def measure(settings: Settings) -> Iterator[Rows]:
    """Trains models, quantized and not, and tests them.

    Each run classifies nodes with its own seed, or graphs in one fold of a 10-fold
    cross-validation (GIN's folds of labels), with the next fold for validation. The
    test is that of the epoch with the highest validation accuracy for nodes, and the
    lowest validation loss for graphs and among equals.

    Runs that are in the CSV file already are not repeated, so that an interrupted
    comparison can be resumed.
    """
    plan = Plan.of(settings)
    if settings.save is not None:
        Path(settings.save).mkdir(parents=True, exist_ok=True)
    rows = [] if settings.out is None else read_csv(settings.out)
    done = {tuple(str(row[key]) for key in KEYS) for row in rows}
    yield rows
    for name in plan.datasets:
        recipes = _recipes(name, plan.models)
        graphs: list[Data] = []
        for (model, recipe), method in product(recipes.items(), plan.methods):
            label = f"{name}, {model}, {method}"
            first = settings.first
            for number in tqdm(range(first, first + plan.runs), label):
                values = name, model, method, str(number), str(plan.epochs)
                if values in done:
                    continue
                graphs = graphs or prepare_graphs(name, settings)
                trained, results = _train_and_test(
                    name, graphs, recipe, METHODS[method], number, plan.epochs
                )
                if settings.save is not None:
                    file = f"{name} {model} {method} {number}.pt"
                    with replacing(Path(settings.save) / file) as out:
                        torch.save(trained, out)
                yield [{**dict(zip(KEYS, values, strict=True)), **results}]


class Plan(NamedTuple):
    """What to train."""

    datasets: Sequence[str]
    models: Sequence[str]
    methods: Sequence[str]
    runs: int
    epochs: int

    @staticmethod
    def of(settings: Settings) -> "Plan":
        """What was named, or the defaults."""
        datasets = settings.dataset or settings.graphs
        if settings.quick:
            return Plan(
                datasets or ["social", "ego-networks"],
                settings.model or ["GIN"],
                settings.method or ["float32", "INT8, Degree-Quant"],
                settings.runs or 1,
                settings.epochs or 3,
            )
        return Plan(
            datasets or ["Cora"],
            settings.model,
            settings.method or [*METHODS],
            settings.runs or 10,
            settings.epochs or 200,
        )


def _recipes(name: str, models: Sequence[str]) -> dict[str, Recipe]:
    """The recipes of some models, or of all, for a data set."""
    recipes = NODE_RECIPES if name in NODE_DATASETS else GRAPH_RECIPES
    unknown = [model for model in models if model not in recipes]
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


def table(rows: Rows) -> Table:
    """Means and standard deviations in percent, beside published figures."""
    groups = grouped(rows, "dataset", "model", "method", "epochs")
    published = any(key[:3] in DEGREE_QUANT for key in groups)
    lines = [[*HEADER, "published"] if published else HEADER]
    for key, group in groups.items():
        name, model, method, epochs = key
        accuracy = [100 * row["accuracy"] for row in group]
        equal = mean(100 * row["equal"] for row in group)
        deviation = stdev(accuracy) if len(accuracy) > 1 else 0.0
        cells = [name, model, method, f"{mean(accuracy):.1f} ± {deviation:.1f}"]
        cells += [str(len(group)), str(epochs)]
        cells.append("-" if method == "float32" else f"{equal:.2f} %")
        if published:
            cells.append("; ".join(DEGREE_QUANT.get(key[:3], ["-"])))
        lines.append(cells)
    return lines


def plot(rows: Rows, path: str) -> None:
    """Bars of the mean accuracies."""
    means = [
        {
            "case": f"{name}, {model}",
            "contender": method,
            "accuracy": 100 * mean(row["accuracy"] for row in group),
        }
        for (name, model, method), group in grouped(
            rows, "dataset", "model", "method"
        ).items()
    ]
    plot_values(means, "accuracy", "accuracy in percent", path, start=0.0)


BENCHMARK = Benchmark(
    "accuracy",
    "Test accuracy in percent of float32, of plain quantization (minimum and maximum "
    "of whole tensors, straight-through gradients) and of Degree-Quant, mean and "
    "standard deviation over seeds for nodes and over folds for graphs; `equal` is the "
    "share of test predictions that stay the same once the model is converted to "
    f"INT8. Where there is a column of published figures: {DEGREE_QUANT_SOURCES}",
    measure,
    table,
    plot,
)
