"""All measurements on a GPU, in one run: correctness first, then speed."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_hag.benchmark import aggregate_device, attention_device, train
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._device_timing import measure_calls
from pyg_hag.benchmark._graphs import graph_names, is_available, load
from pyg_hag.benchmark._report import Rows, Table
from pyg_hag.benchmark.aggregate import BENCHMARK as SUMS
from pyg_hag.benchmark.aggregate_device import check_device
from pyg_hag.data import HAGData
from pyg_hag.datasets import generate_ego_networks
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.ops.quantized import (
    Epilogue,
    QParams,
    aggregate_quantized,
    qlinear,
    quantize,
)
from pyg_hag.plan.gpu import device_plan
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

REDUCES: list[Any] = [
    *("sum", "mean", "symnorm", "max", "min", "var", "std"),
    ["sum", "max", "std"],
]
TOLERANCES = {
    torch.float32: 1e-4,
    torch.float64: 1e-10,
    torch.bfloat16: 2e-2,
    torch.float16: 4e-3,
}
ATTENDED = ["Cora", "COLLAB", "cnr-2000"]
BATCHED = ["MUTAG", "IMDB-BINARY", "COLLAB"]
BATCH = 128


class Save(Protocol):
    """Saves rows as they come, and returns them all."""

    def __call__(
        self, name: str, parts: Iterable[Rows], benchmark: Benchmark | None
    ) -> Rows:
        """Writes a CSV file, and a picture if there is a benchmark that plots it."""
        ...


def run(settings: Settings, save: Save, budget: float = 1.0) -> Table:
    """Checks results and times sums, training, attention and batches on a device.

    Args:
        settings: The graphs, also for training, the widths and the device.
        save: Writes the rows of a benchmark, by the name of the file.
        budget: Seconds for each measurement.

    Returns:
        list[list[str]]: The tables, one below the other.

    Raises:
        ValueError: If there is no such device, or if a result is wrong, in which case
            nothing is timed.
    """
    device = settings.device or "cuda"
    settings = replace(settings, device=device)
    check_device(device)
    names = graph_names(settings, aggregate_device.GRAPHS)
    prepared = aggregate_device.prepare(names)
    checks = [*_check_sums(device), *_check_int8(device)]
    checks += attention_device.check(device, _graphs())
    save("correctness", [checks], None)
    wrong = [row for row in checks if not row["right"]]
    if wrong:
        raise ValueError(f"{len(wrong)} results are wrong, such as {wrong[0]}")
    named = replace(settings, graphs=names)
    sums = aggregate_device.measure(named, budget, prepared)
    aggregates = save("aggregate", sums, SUMS)
    trains: Rows = []
    if any(name in names for name in train.graphs()):
        trains = save("train", train.BENCHMARK.measure(named), train.BENCHMARK)
    attended = [name for name in ATTENDED if name in names or is_available(name, named)]
    attentions = attention_device.measure(attended, named, device, budget)
    layers = save("attention", attentions, None)
    batched = [name for name in BATCHED if name in names or is_available(name, named)]
    batches = save("batches", _batches(batched, named, device), None)
    checked = [["checked", "all right"], [str(len(checks)), "yes"]]
    tables = [checked, aggregate_device.table(aggregates), train.table(trains)]
    tables += [attention_device.table(layers), _table(batches)]
    length = max(len(row) for table in tables for row in table)
    return [
        [*row, *[""] * (length - len(row))] for table in tables for row in [*table, []]
    ][:-1]


# Correctness ##################################################################


def _graphs() -> dict[str, tuple[Tensor, int]]:
    ego = Batch.from_data_list(generate_ego_networks(60))
    generator = torch.Generator().manual_seed(0)
    hub = torch.randint(2000, (2, 30_000), generator=generator)
    hub[1, :9000] = 7  # a row that is split
    hub[0, 9000:16_000] = 11
    none = torch.empty(2, 0, dtype=torch.long)
    return {
        "ego networks": (ego.edge_index, int(ego.num_nodes)),
        "hubs": (hub, 2001),
        "no edges": (none, 3),
    }


def _hags(edge_index: Tensor, num_nodes: int) -> dict[str, HAG]:
    fewest = build_hag(edge_index, num_nodes, objective="aggregations")
    return {"plain": build_hag(edge_index, num_nodes, capacity=0), "HAG": fewest}


def _check_sums(device: str) -> list[dict[str, Any]]:
    """Compares results and gradients with the reference on the CPU in float64."""
    rows = []
    for name, (edge_index, num_nodes) in _graphs().items():
        for label, hag in _hags(edge_index, num_nodes).items():
            there = hag.to(device)
            for dtype, tolerance in TOLERANCES.items():
                for reduce in REDUCES:
                    torch.manual_seed(0)
                    x = torch.randn(num_nodes, 40).to(dtype)
                    error = _error(x, hag, there, reduce)
                    rows.append(
                        {
                            "what": f"{reduce}, {dtype}",
                            "graph": f"{name}, {label}",
                            "error": error,
                            "right": error < tolerance,
                        }
                    )
    return rows


def _error(x: Tensor, hag: HAG, there: HAG, reduce: Any) -> float:
    """The largest error of a result and its gradient, relative to the largest value."""
    theirs = x.double().requires_grad_()
    ours = x.to(there.device).requires_grad_()
    wanted = aggregate(theirs, hag, reduce, backend="torch")
    out = aggregate(ours, there, reduce)
    grad = torch.randn_like(wanted).to(x.dtype)
    wanted.backward(grad.double())
    out.backward(grad.to(there.device))
    again = aggregate(ours.detach(), there, reduce)
    if not torch.equal(out, again):
        return float("inf")  # results must be reproducible bit for bit
    assert theirs.grad is not None and ours.grad is not None
    pairs = (out, wanted.detach()), (ours.grad, theirs.grad)
    return max(
        float((a.detach().cpu().double() - b).abs().max() / b.abs().max().clamp(min=1))
        for a, b in pairs
    )


def _check_int8(device: str) -> list[dict[str, Any]]:
    """Compares INT8 on the device with INT8 on the CPU, bit for bit."""
    rows = []
    qparams, out_qparams = QParams(0.03, 100), QParams(0.4, 30)
    for name, (edge_index, num_nodes) in _graphs().items():
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(256, (num_nodes, 70), generator=generator).to(torch.uint8)
        factor = torch.rand(num_nodes, generator=generator)
        for label, hag in _hags(edge_index, num_nodes).items():
            for reduce in ("sum", "max", "min"):
                results = []
                for d in ("cpu", device):
                    epilogue = Epilogue(factor.to(d), out_qparams=out_qparams)
                    inputs = x.to(d), qparams, hag.to(d), reduce, None, epilogue
                    results.append(aggregate_quantized(*inputs))
                what = f"quantized, {reduce}"
                rows.append(_compared(what, f"{name}, {label}", *results))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 70, generator=generator)
    weight = torch.randint(-127, 128, (33, 70), generator=generator).to(torch.int8)
    scale, bias = torch.rand(33, generator=generator), torch.randn(33)
    for end in (None, out_qparams):
        results = []
        for d in ("cpu", device):
            values = quantize(x.to(d), qparams)
            parts = weight.to(d), scale.to(d), bias.to(d)
            results.append(qlinear(values, qparams, *parts, True, out_qparams=end))
        rows.append(_compared("product", "INT8" if end else "float32", *results))
    return rows


def _compared(what: str, graph: str, here: Tensor, there: Tensor) -> dict[str, Any]:
    there = there.cpu()
    error = float((here.double() - there.double()).abs().max()) if here.numel() else 0.0
    right = torch.equal(here, there)
    return {"what": what, "graph": graph, "error": error, "right": right}


# Batches ######################################################################


def _batches(names: list[str], settings: Settings, device: str) -> Iterator[Rows]:
    """Times collating a batch of graphs and moving it to the device, ready for kernels.

    With `edge_index`, with a HAG besides, with a HAG instead, and the latter ready for
    gradients, too.
    """
    for name in names:
        torch.manual_seed(0)
        graphs = [
            Data(torch.randn(int(g.num_nodes), 64), g.edge_index)
            for g in load(name, settings)[:BATCH]
        ]
        both = [HAGTransform()(data) for data in graphs]
        alone = [HAGTransform(remove_edge_index=True)(data) for data in graphs]
        ways = {
            "edge_index": partial(_collated, graphs, device),
            "HAG": partial(_collated, both, device),
            "HAG alone": partial(_collated, alone, device),
            "HAG alone, training": partial(_collated, alone, device, True),
        }
        times = _median_milliseconds(ways, device)
        batch = _collated(alone, device)
        sums = {"sum": partial(_summed, batch.x, batch.hag)}
        kernels, _ = measure_calls(sums, 4, device)
        last = {"milliseconds of a sum": 1e3 * kernels["sum"].median}
        yield [{"graph": name, "batch": len(graphs), **times, **last}]


def _table(rows: Rows) -> Table:
    header = ["edge_index ms", "HAG ms", "HAG alone ms", "training ms", "a sum ms"]
    lines = [["batches", "graphs", *header]]
    for row in rows:
        milliseconds = [row[key] for key in row if key.startswith("milliseconds")]
        numbers = [f"{ms:.3g}" for ms in milliseconds]
        lines.append([row["graph"], str(row["batch"]), *numbers])
    return lines


def _summed(x: Tensor, hag: HAG, i: int) -> Tensor:
    return aggregate(x, hag)


def _collated(graphs: list[Any], device: str, trains: bool = False) -> Any:
    """The batch on the device, with everything that kernels read of its HAG."""
    batch = Batch.from_data_list(graphs).to(device)
    if isinstance(batch, HAGData):
        device_plan(batch.hag)
        if trains:
            device_plan(batch.hag.transposed())
    return batch


def _median_milliseconds(
    ways: dict[str, Any], device: str, rounds: int = 30
) -> dict[str, float]:
    """Median milliseconds of each call, in turn, including the device's work."""
    times: dict[str, list[float]] = {f"milliseconds {name}": [] for name in ways}
    for _ in range(rounds + 3):
        for call, taken in zip(ways.values(), times.values(), strict=True):
            begin = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            taken.append(1e3 * (time.perf_counter() - begin))
    return {name: sorted(taken[3:])[rounds // 2] for name, taken in times.items()}
