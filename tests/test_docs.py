"""Every Python snippet of the README and the documentation runs."""

import re
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

import pyg_hag
from pyg_hag.cost import DEFAULT_COST

ROOT = Path(pyg_hag.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def snippets(page):
    return SNIPPET.findall(page.read_text())


def names():
    """What the shorter snippets take for granted."""
    torch.manual_seed(0)
    edge_index = torch.randint(30, (2, 200))
    x = torch.randn(30, 64)
    known = {name: getattr(pyg_hag, name) for name in pyg_hag.__all__}
    return {
        **known,
        "torch": torch,
        "MessagePassing": MessagePassing,
        "data": pyg_hag.HAGTransform()(Data(x=x, edge_index=edge_index)),
        "x": x,
        "edge_index": edge_index,
        "N": 30,
        "num_nodes": 30,
    }


WITH_SNIPPETS = [page for page in PAGES if snippets(page)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=lambda page: page.name)
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    DEFAULT_COST.save("cost.json")
    known = names()
    for code in snippets(page):
        exec(compile(code, page.name, "exec"), known)
