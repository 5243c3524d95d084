"""Compiling ahead."""

import subprocess
import sys

import pytest
import torch

from pyg_hag import warmup

USE = """
import pkgutil, sys, warnings
import torch
import pyg_hag, pyg_hag.nn
from torch_geometric.data import Batch, Data

def compiled():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("pyg_hag"):
            for f in vars(module).values():
                if hasattr(f, "signatures") and hasattr(f, "py_func"):
                    found[f"{f.py_func.__module__}.{f.py_func.__name__}"] = len(
                        f.signatures
                    )
    return found

assert pyg_hag.warmup((torch.float32, torch.float64, torch.bfloat16)) > 0
before = compiled()
from pyg_hag.ops.cpu import program
entries = {*program._programs}
torch.manual_seed(0)
edges = (torch.rand(200, 200) < 0.3).nonzero().t()
for subtract in (False, True):
    for objective in ("time", "aggregations"):
        hag = pyg_hag.build_hag(edges, 200, objective=objective, subtract=subtract)
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            for width in (3, 300):
                x = torch.ones(200, width, dtype=dtype, requires_grad=True)
                for reduce in ("sum", "mean", "max", "min", "var", "std"):
                    if reduce in ("sum", "mean") or not hag.is_signed:
                        pyg_hag.aggregate(x, hag, reduce).sum().backward()
assert sum(before.values()) > 30
print(*{*program._programs} - entries)
print({k: v for k, v in compiled().items() if v != before.get(k, 0)})
"""


@pytest.mark.full
def test_nothing_is_left_to_compile():
    out = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "{}"


@pytest.mark.parametrize("dtypes", [torch.float32, (torch.int64,), "float32"])
def test_dtypes_are_checked(dtypes):
    with pytest.raises(TypeError, match="'dtypes' must be some of"):
        warmup(dtypes)
