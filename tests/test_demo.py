import re

import pytest

from pyg_hag.cli import main
from pyg_hag.datasets import ROOT_VARIABLE


def rows(text):
    return [
        line for line in text.splitlines() if re.match(r"(generated|IMDB|Cora)", line)
    ]


def numbers(row):
    return [
        float(n.replace(",", "")) for n in re.findall(r"[\d,]+\.?\d*(?:e-?\d+)?", row)
    ]


def check(row):
    *_, loss, our_loss, accuracy, our_accuracy, difference = numbers(row)
    assert abs(loss - our_loss) <= 2e-3 * loss
    assert abs(accuracy - our_accuracy) <= 3
    assert difference < 1e-4
    before, after = re.search(r"([\d,]+) -> ([\d,]+)", row).groups()
    assert int(before.replace(",", "")) > int(after.replace(",", ""))


def test_on_generated_graphs(capsys):
    assert main(["demo", "--generated", "--epochs", "2"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row.split("  ")[0] for row in table] == [
        "generated (for IMDB-BINARY)",
        "generated (for Cora)",
    ]
    for row in table:
        check(row)


def test_without_a_network_it_says_so_and_generates(capsys, monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("pyg_hag.cli.demo_tasks.load_graphs", offline)
    assert main(["demo", "--epochs", "1", "--graphs", "--nodes", "Cora"]) == 0
    out, err = capsys.readouterr()
    assert "cannot be downloaded (no network)" in err and "generated" in err
    assert rows(out)[0].startswith("generated (for Cora)")
    arguments = ["demo", "--generated", "--markdown", "--epochs", "1", "--graphs"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("\n| data set")


def test_a_missing_package_is_named(capsys, monkeypatch):
    def without_scipy(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'scipy'")

    monkeypatch.setattr("pyg_hag.cli.demo_tasks.load_graphs", without_scipy)
    assert main(["demo", "--epochs", "1"]) == 2
    assert "pip install 'pyg_hag[demo]'" in capsys.readouterr().err


@pytest.mark.data("IMDB-BINARY", "Cora")
@pytest.mark.full
def test_on_real_graphs(capsys):
    assert main(["demo", "--epochs", "2"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row.split()[0] for row in table] == ["IMDB-BINARY", "Cora"]
    for row in table:
        check(row)


def test_wrong_arguments(capsys, monkeypatch):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    assert main(["demo", "--root", "/no/such/folder"]) == 2
    assert "'root' is not a folder" in capsys.readouterr().err
    for wrong in (["demo", "--epochs", "0"], ["demo", "--what"], []):
        with pytest.raises(SystemExit):
            main(wrong)
