"""Every Python snippet of the README and the documentation runs."""

import re
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

import pyg_hag
from pyg_hag.benchmark import _kinds
from pyg_hag.benchmark._report import read_csv
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


def test_the_readme_has_the_figures_of_the_benchmarks():
    files = sorted((ROOT / "docs" / "benchmarks").glob("models*.csv"))
    rows = [row for file in files for row in read_csv(str(file))]
    wanted = {line[1]: line[3:] for line in _kinds.table(rows)[1:]}
    page = (ROOT / "README.md").read_text().split("## Does my graph profit?")[1]
    lines = [line for line in page.split("##")[0].splitlines() if line[:1] == "|"]
    found = {}
    for line in lines[2:]:
        kind, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert kind == f"{_kinds.KINDS[kind.split(': ')[1]]}: {kind.split(': ')[1]}"
        found[kind.split(": ")[1]] = cells
    assert found.keys() == wanted.keys() == _kinds.KINDS.keys()
    for name, cells in found.items():
        assert cells[0] == wanted[name][0]
        for cell, exact in zip(cells[1:], wanted[name][1:], strict=True):
            assert cell == exact or float(cell[:-1].replace(",", "")) == round(
                float(exact[:-1])
            )
