"""calibrate: post-training quantization, with ranges from some data."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.prepare import QATModel, prepare_qat


def calibrate(
    model: nn.Module, loader: Iterable[Any], config: DegreeQuantConfig | None = None
) -> QATModel:
    """Quantizes a trained model with the ranges that its features have on some data.

    The model runs in evaluation mode, and no node is protected.

    .. code-block:: python

        quantized = calibrate(model, loader)
        fast = convert(quantized, (batch.x, batch.hag))

    Args:
        model (torch.nn.Module): The model, see :func:`prepare_qat`.
        loader (iterable): The inputs to call the model with. Each item is a tuple of
            arguments, a dictionary of them, or a `Data` object (or batch), whose
            attributes are passed by the names of the model's parameters (`hag` for
            `edge_index`, if there is one). A single `Data` object is one item.
        config (DegreeQuantConfig, optional): How to quantize it; `protect` is ignored.

    Returns:
        QATModel: The quantized model in evaluation mode, for :func:`convert`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `loader` is empty, or an item lacks an argument of the model.
    """
    config = DegreeQuantConfig() if config is None else config
    if not isinstance(config, DegreeQuantConfig):
        raise TypeError(f"'config' must be a DegreeQuantConfig (got {config!r})")
    quantized = prepare_qat(model, replace(config, protect=False)).eval()
    observers = [m for m in quantized.modules() if isinstance(m, FakeQuantize)]
    for observer in observers:
        observer.train()
    count = 0
    with torch.inference_mode(False), torch.no_grad():
        for item in [loader] if isinstance(loader, Data) else loader:
            args, kwargs = arguments(model, item)
            quantized(*args, **kwargs)
            count += 1
    if count == 0:
        raise ValueError("'loader' is empty (got 0 items): pass at least one batch")
    return quantized.eval()


def arguments(model: nn.Module, item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keyword arguments of a model, from an item of a loader."""
    if isinstance(item, tuple | list):
        return tuple(item), {}
    if isinstance(item, Mapping):
        return (), dict(item)
    if not isinstance(item, Data):
        raise TypeError(
            f"'loader' must yield tuples of arguments, dictionaries of them or Data "
            f"objects (got {type(item).__name__})"
        )
    parameters = inspect.signature(model.forward).parameters.values()
    named = [
        p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if [p.name for p in named if p.default is p.empty] in (["data"], ["batch"]):
        return (item,), {}
    kwargs = {}
    for parameter in named:
        value = getattr(item, parameter.name, None)
        if parameter.name == "edge_index":
            value = getattr(item, "hag", value)
        if value is not None:
            kwargs[parameter.name] = value
        elif parameter.default is parameter.empty:
            raise ValueError(
                f"'loader' yields data without {parameter.name!r}, which the model "
                f"requires: yield tuples of its arguments instead"
            )
    return (), kwargs
