"""Triton's kernels become machine code for a GPU, also where there is none."""

import json
import os
import subprocess
import sys

import pytest

from pyg_hag.ops.dispatch import BACKENDS

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(not BACKENDS["triton"].is_installed, reason="no Triton"),
    pytest.mark.xdist_group("compiles"),  # all in one process
]

SCRIPT = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pyg_hag.ops.triton import (
    attention_grad_kernels, attention_kernels, extreme_kernels, kernels,
    quantized_kernels
)

modules = {
    "floats": kernels, "extremes": extreme_kernels, "quantized": quantized_kernels,
    "attention": attention_kernels, "attention gradients": attention_grad_kernels
}

def constant(value):
    if isinstance(value, list):
        return tuple(value)
    return value[1:] if isinstance(value, str) else value

def compiled(module, name, arguments):
    kernel = getattr(modules[module], name)
    types = {k: v for k, v in arguments.items() if isinstance(v, str) and v[:1] != "="}
    constants = {k: constant(v) for k, v in arguments.items() if k not in types}
    names = kernel.arg_names
    signature = {n: types.get(n, "constexpr") for n in names}
    values = {(i,): constants[n] for i, n in enumerate(names) if n in constants}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, n in enumerate(names)
        if n == "columns" or types.get(n, "").startswith("*")
    }
    source = ASTSource(kernel, signature, values, aligned)
    made = triton.compile(
        source,
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": 4, "enable_fp_fusion": False},
    )
    return made.asm["ptx"]

kernels_of = json.loads(sys.argv[1])
print(json.dumps({name: compiled(*kernel) for name, kernel in kernels_of.items()}))
"""

PLAN = {
    **dict.fromkeys(("row", "ptr", "inputs", "part_ptr"), "*i32"),
    **dict.fromkeys(("first_part", "columns"), "i32"),
    **{"WIDE": False, "ROWS": 16, "TILE": 32},
}


def reduction(results, statistics, x="*fp32", kept="*fp32", segments=2, given=()):
    arrays = {
        name: None
        for name in ("src_scale", "dst_scale", "self_scale", "weight", "norm")
    }
    arrays |= dict.fromkeys(given, kept)
    names = {"RESULTS": results, "STATISTICS": statistics, "SEGMENTS": segments}
    return {"x": x, "out": x, "scratch": kept, **arrays, **PLAN, **names}


GRADIENT = {
    **PLAN,
    **dict.fromkeys(("x", "grad", "values", "counts", "shares", "out"), "*fp32"),
    **dict.fromkeys(("scratch", "grad_x"), "*fp32"),
    **{"owner": "*i32", "agg_map": "*i32", "num_aggs": "i32", "MINIMUM": True},
}
NUMBERS = {
    **dict.fromkeys(("scale", "lower_bound", "residual_scale"), "fp32"),
    **dict.fromkeys(("inverse_out_scale", "out_qmax"), "fp32"),
    **dict.fromkeys(("zero_point", "residual_zero_point", "out_zero_point"), "i32"),
    **dict.fromkeys(("num_rows", "depth"), "i32"),
}
QUANTIZED = {
    **{**PLAN, **NUMBERS, "TILE": 128, "SEGMENTS": 2, "QUANTIZES": True},
    **dict.fromkeys(("x", "out", "residual"), "*u8"),
    **dict.fromkeys(
        ("dst_scale", "channel_scale", "bias", "residual_channel_scale", "next_scale"),
        "*fp32",
    ),
    "row_scale": "*fp32",
    **{"self_scale": "*i32", "counts": "*i32", "scratch": "*i32", "REDUCE": "=sum"},
}
PRODUCT = {
    **NUMBERS,
    **{"x": "*u8", "weight": "*i8", "scale": "*fp32", "bias": "*fp32"},
    **{"residual": "*u8", "columns": "i32", "RELU": True},
    **dict.fromkeys(("ROWS", "COLUMNS", "DEPTH"), 64),
}
SCALED = ["src_scale", "dst_scale", "self_scale"]
KERNELS = {
    "sum": ("floats", "reduce_rows", reduction(["sum"], ["sum"])),
    "sum, bfloat16": ("floats", "reduce_rows", reduction(["sum"], ["sum"], "*bf16")),
    "sum, float64": (
        "floats",
        "reduce_rows",
        reduction(["sum"], ["sum"], "*fp64", "*fp64"),
    ),
    "std, float64": (
        "floats",
        "reduce_rows",
        reduction(["std"], ["sum", "square"], "*fp64", "*fp64", given=["weight"]),
    ),
    "subtracted": (
        "floats",
        "reduce_rows",
        reduction(["sum"], ["sum"], segments=4, given=SCALED),
    ),
    "max": ("floats", "reduce_rows", reduction(["max"], ["max"], "*fp16")),
    "several": (
        "floats",
        "reduce_rows",
        reduction(
            ["sum", "max", "std", "symnorm"],
            ["sum", "max", "square", "symnorm"],
            given=["weight", "norm"],
        ),
    ),
    "extremes": ("extremes", "reduce_extremes", GRADIENT),
    "share_gradient": ("extremes", "share_gradient", GRADIENT),
    "quantized": ("quantized", "reduce_quantized", QUANTIZED),
    "quantized, 64 bits": (
        "quantized",
        "reduce_quantized",
        {**QUANTIZED, "scratch": "*i64", "out": "*fp32", "QUANTIZES": False},
    ),
    "quantized, max": (
        "quantized",
        "reduce_quantized",
        {
            **QUANTIZED,
            **{"scratch": "*u8", "REDUCE": "=max", "self_scale": None, "counts": None},
        },
    ),
    "quantization": (
        "quantized",
        "quantize_rows",
        {**QUANTIZED, "x": "*fp32", "num_rows": "i32", "TILE": 128},
    ),
    "product": (
        "quantized",
        "multiply_quantized",
        {**PRODUCT, "out": "*u8", "QUANTIZES": True},
    ),
    "product, float32": (
        "quantized",
        "multiply_quantized",
        {**PRODUCT, "out": "*fp32", "QUANTIZES": False},
    ),
}


def machine_code_of(kernels):
    """The code of kernels, by name: of their module, name and types of arguments."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(kernels)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def machine_code():
    """The code of all kernels, by name."""
    return machine_code_of(KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_compiles(name, machine_code):
    ptx = machine_code[name]
    assert "atom" not in ptx and "red.global" not in ptx
    # Products are rounded before they are added, except where oneDNN does not:
    assert ("fma" in ptx) == (name == "product")
    assert ("bar.sync" in ptx) or name == "quantization"
    if name == "sum":  # whole vectors
        assert "ld.global.v4" in ptx and "st.global.v4" in ptx
    if name.startswith("product"):
        assert "mma" in ptx
