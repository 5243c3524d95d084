import re

import pytest

from pyg_hag.cli import main
from pyg_hag.datasets import ROOT_VARIABLE


def rows(text):
    return [
        line
        for line in text.splitlines()
        if re.match(r"(generated|IMDB|Cora|meta-paths|collaborations)", line)
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
    assert re.search(r" \d+\.\dx ", row)


def reads(row):
    """Of the plain graph and of the HAG; None if that is plain."""
    found = re.search(r"([\d,]+) (?:-> ([\d,]+)|\(plain\))", row)
    return [n and int(n.replace(",", "")) for n in found.groups()]


@pytest.mark.full
def test_what_it_leads_with_and_ends_with(capsys):
    assert main(["demo", "--generated", "--epochs", "2"]) == 0
    table = rows(capsys.readouterr().out)
    paths, groups, citations = table
    assert paths.startswith("meta-paths (generated)")
    assert groups.startswith("collaborations (generated)")
    assert citations.startswith("generated (for Cora)")
    for row, least in ((paths, 100), (groups, 3)):
        before, after = reads(row)
        assert before > least * after
    assert reads(citations)[1] is None
    for row in table:
        check(row)


def test_on_generated_graphs(capsys):
    arguments = ["demo", "--generated", "--epochs", "2", "--objective", "aggregations"]
    assert main([*arguments, "--graphs", "IMDB-BINARY", "--nodes", "Cora"]) == 0
    table = rows(capsys.readouterr().out)
    assert [row.split("  ")[0] for row in table] == [
        "generated (for IMDB-BINARY)",
        "generated (for Cora)",
    ]
    for row in table:
        check(row)
        before, after = reads(row)
        assert before > after


def test_without_a_network_it_says_so_and_generates(capsys, monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("pyg_hag.cli.demo_tasks.load_graphs", offline)
    assert main(["demo", "--epochs", "1", "--graphs", "--nodes", "Cora"]) == 0
    out, err = capsys.readouterr()
    assert "cannot be downloaded (no network)" in err and "generated" in err
    assert rows(out)[0].startswith("generated (for Cora)")
    arguments = ["demo", "--generated", "--markdown", "--epochs", "1", "--nodes"]
    assert main([*arguments, "Cora"]) == 0
    assert capsys.readouterr().out.startswith("\n| data set")


def test_a_missing_package_is_named(capsys, monkeypatch):
    def without_scipy(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'scipy'")

    monkeypatch.setattr("pyg_hag.cli.demo_tasks.load_graphs", without_scipy)
    assert main(["demo", "--epochs", "1", "--nodes", "Cora"]) == 2
    assert "pip install 'pyg_hag[demo]'" in capsys.readouterr().err


@pytest.mark.data("IMDB-BINARY", "Cora")
@pytest.mark.full
def test_on_real_graphs(capsys):
    names = ["--graphs", "IMDB-BINARY", "--nodes", "Cora"]
    assert main(["demo", "--epochs", "2", *names]) == 0
    table = rows(capsys.readouterr().out)
    assert [row.split()[0] for row in table] == ["IMDB-BINARY", "Cora"]
    for row in table:
        check(row)


def test_wrong_arguments(capsys, monkeypatch):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    assert main(["demo", "--root", "/no/such/folder", "--nodes", "Cora"]) == 2
    assert "'root' is not a folder" in capsys.readouterr().err
    for wrong in (["demo", "--epochs", "0"], ["demo", "--what"], []):
        with pytest.raises(SystemExit):
            main(wrong)
