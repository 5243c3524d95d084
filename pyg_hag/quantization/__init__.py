"""Degree-Quant: training that knows it will be quantized."""

from pyg_hag.quantization.calibrate import calibrate
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.convert import Conversion, INT8Model, convert
from pyg_hag.quantization.fake_quantize import FakeQuantize
from pyg_hag.quantization.linear import QATLinear
from pyg_hag.quantization.prepare import QATModel, prepare_qat
from pyg_hag.quantization.protection import Protection
from pyg_hag.quantization.transform import DegreeQuantTransform

__all__ = [
    "Conversion",
    "DegreeQuantConfig",
    "DegreeQuantTransform",
    "FakeQuantize",
    "INT8Model",
    "Protection",
    "QATLinear",
    "QATModel",
    "calibrate",
    "convert",
    "prepare_qat",
]
