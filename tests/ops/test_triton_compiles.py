"""Triton's kernels become machine code for a GPU, also where there is none."""

import json
import os
import subprocess
import sys

import pytest

from pyg_hag.ops import _triton

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(not _triton.IS_THERE, reason="no Triton"),
]

SCRIPT = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pyg_hag.ops import _triton_code_kernels as codes, _triton_kernels as floats

module, name, arguments = json.loads(sys.argv[1])
kernel = getattr({"codes": codes, "floats": floats}[module], name)
types = {k: v for k, v in arguments.items() if isinstance(v, str) and v[:1] != "="}
constants = {k: v for k, v in arguments.items() if k not in types}
constants = {k: v[1:] if isinstance(v, str) else v for k, v in constants.items()}
constants = {k: tuple(v) if isinstance(v, list) else v for k, v in constants.items()}
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
print(made.asm["ptx"])
"""

PLAN = {
    **dict.fromkeys(("row", "ptr", "inputs", "part_ptr"), "*i32"),
    **dict.fromkeys(("first_part", "columns"), "i32"),
    **{"WIDE": False, "ROWS": 16, "TILE": 32},
}


def reduction(results, statistics, x="*fp32", kept="*fp32", segments=2, given=()):
    arrays = {name: None for name in ("before", "after", "own", "weight", "norm")}
    arrays |= dict.fromkeys(given, kept)
    names = {"RESULTS": results, "STATISTICS": statistics, "SEGMENTS": segments}
    return {"x": x, "out": x, "scratch": kept, **arrays, **PLAN, **names}


GRADIENT = {
    **PLAN,
    **dict.fromkeys(("x", "grad", "values", "counts", "shares", "out"), "*fp32"),
    **dict.fromkeys(("scratch", "grad_x"), "*fp32"),
    **{"owner": "*i32", "flipped": "*i32", "num_aggs": "i32", "MINIMUM": True},
}
NUMBERS = {
    **dict.fromkeys(("scale", "lowest", "rest_scale", "inverse", "most"), "fp32"),
    **dict.fromkeys(("zero", "rest_zero", "to_zero", "num_rows", "depth"), "i32"),
}
CODES = {
    **{**PLAN, **NUMBERS, "TILE": 128, "SEGMENTS": 2, "ROUNDS": True},
    **dict.fromkeys(("x", "out", "rest"), "*u8"),
    **dict.fromkeys(("after", "gain", "bias", "rest_gain", "following"), "*fp32"),
    **{"own": "*i32", "counts": "*i32", "scratch": "*i32", "REDUCE": "=sum"},
}
PRODUCT = {
    **NUMBERS,
    **{"x": "*u8", "weight": "*i8", "scale": "*fp32", "bias": "*fp32"},
    **{"rest": "*u8", "columns": "i32", "RELU": True},
    **dict.fromkeys(("ROWS", "COLUMNS", "DEPTH"), 64),
}
SCALED = ["before", "after", "own"]
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
    "extremes": ("floats", "extremes", GRADIENT),
    "share_gradient": ("floats", "share_gradient", GRADIENT),
    "codes": ("codes", "reduce_codes", CODES),
    "codes, 64 bits": (
        "codes",
        "reduce_codes",
        {**CODES, "scratch": "*i64", "out": "*fp32", "ROUNDS": False},
    ),
    "codes, max": (
        "codes",
        "reduce_codes",
        {**CODES, "scratch": "*u8", "REDUCE": "=max", "own": None, "counts": None},
    ),
    "rounding": (
        "codes",
        "round_codes",
        {**CODES, "x": "*fp32", "num_rows": "i32", "TILE": 128},
    ),
    "product": ("codes", "multiply_codes", {**PRODUCT, "out": "*u8", "ROUNDS": True}),
    "product, float32": (
        "codes",
        "multiply_codes",
        {**PRODUCT, "out": "*fp32", "ROUNDS": False},
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_compiles(name):
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(KERNELS[name])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ptx = done.stdout
    assert "atom" not in ptx and "red.global" not in ptx
    # Sums of products are rounded twice, but where the CPU does not either:
    assert ("fma" in ptx) == (name == "product")
    assert ("bar.sync" in ptx) or name == "rounding"
    if name == "sum":  # whole vectors
        assert "ld.global.v4" in ptx and "st.global.v4" in ptx
    if name.startswith("product"):
        assert "mma" in ptx
