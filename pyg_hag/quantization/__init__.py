"""Degree-Quant: quantization-aware training, and inference in INT8."""

from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.int8.convert import Conversion, INT8Model, convert
from pyg_hag.quantization.qat.calibrate import calibrate
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.linear import QATLinear
from pyg_hag.quantization.qat.prepare import QATModel, prepare_qat
from pyg_hag.quantization.qat.protection import Protection
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
