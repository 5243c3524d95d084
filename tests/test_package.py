import subprocess
import sys
from pathlib import Path

import pyg_hag

CODE = Path(pyg_hag.__file__).parent


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_public_names_exist_and_are_few():
    assert len(pyg_hag.__all__) <= 12
    for name in pyg_hag.__all__:
        assert getattr(pyg_hag, name).__doc__


def test_optional_packages_are_not_needed():
    loaded = python(
        "import sys\n"
        "for name in ('torch_sparse', 'torch_scatter', 'triton', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import pyg_hag.nn\n"
        "print(*sys.modules)"
    )
    assert "pyg_hag.nn" in loaded


def test_data_flows_one_way():
    order = ["search", "ops", "nn"]
    for i, package in enumerate(order):
        later = [f"pyg_hag.{name}" for name in order[i + 1 :]]
        if package == "search":
            later.append("pyg_hag.ops")
        for file in (CODE / package).rglob("*.py"):
            text = file.read_text()
            assert not [name for name in later if f"from {name}" in text], file


def test_the_three_lines_of_the_readme():
    readme = (CODE.parent / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    setup = (
        "import torch\nfrom torch_geometric.data import Data\ntorch.manual_seed(0)\n"
        "data = Data(torch.randn(9, 8), torch.randint(9, (2, 60)))\n"
    )
    check = (
        "from pyg_hag.nn import from_hag\n"
        "wanted = from_hag(model)(data.x, data.edge_index)\n"
        "print(type(from_hag(model)).__name__, torch.allclose(out, wanted, atol=1e-5))"
    )
    assert python(f"{setup}{code}\n{check}") == ["GCN", "True"]


def test_types_are_shipped():
    assert (CODE / "py.typed").is_file()
