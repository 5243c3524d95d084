"""The notebooks as they are stored: with what they show, and nothing of a machine."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATHS = re.compile(r"(?<![\w.:/])/(tmp|work|home|root|usr|Users)/")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path, kind):
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def shown(path):
    """The text that is shown, without pictures."""
    texts = []
    for output in outputs(path):
        texts += output.get("text", [])
        for kind, lines in output.get("data", {}).items():
            texts += lines if kind.startswith("text/") else []
    return "".join(texts)


def test_there_are_eight():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i}_" for i in range(1, 9)]


@each_notebook
def test_every_cell_has_been_run_in_order(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == [*range(1, len(counts) + 1)]
    assert outputs(path)


@each_notebook
def test_outputs_are_clean(path):
    for output in outputs(path):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"  # warnings, and bars of progress
    text = shown(path)
    assert "Warning" not in text and "\r" not in text and "<Axes" not in text
    assert not re.search(r" at 0x[0-9a-f]+>", text)


@each_notebook
def test_nothing_of_a_machine_is_in_it(path):
    text = shown(path) + "".join(
        "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
    )
    assert not PATHS.search(text)
    meta = json.loads(path.read_text())["metadata"]
    assert meta["kernelspec"]["name"] == "python3"
    assert not any(cell["metadata"] for cell in cells(path, "code"))


@each_notebook
def test_it_is_small_and_linked(path):
    assert path.stat().st_size <= 400_000
    first = "".join(cells(path, "markdown")[0]["source"])
    assert first.startswith("# ") and "You will see" in first
    assert path.name in (ROOT / "docs" / "index.md").read_text()
