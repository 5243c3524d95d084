"""The command line: files, pictures, the page of tables, and what is refused."""

import urllib.error
from dataclasses import replace

import pytest
import torch
from commands import read, run

from pyg_hag.benchmark import __main__ as benchmark
from pyg_hag.benchmark import _environment, _graphs, aggregate
from pyg_hag.benchmark._benchmark import Benchmark, Settings
from pyg_hag.benchmark._plots import plot_ratios, plot_values
from pyg_hag.benchmark._report import markdown, read_csv, write_csv
from pyg_hag.runtime.first_use import readiness
from pyg_hag.utils.tables import markdown_table, text_table

TWO = [benchmark.BENCHMARKS[name] for name in ("search", "aggregate")]
FROM_FILES = [name for name in benchmark.BENCHMARKS if name != "metapaths"]
"""The benchmarks whose graphs are not all generated."""
PNG = b"\x89PNG"


@pytest.fixture
def few(monkeypatch):
    """Two benchmarks, and between them one that cannot run."""

    def fail(settings):
        raise ValueError("not here")
        yield

    failing = Benchmark("failing", "", fail, None)
    known = {item.name: item for item in (TWO[0], failing, TWO[1])}
    monkeypatch.setattr(benchmark, "BENCHMARKS", known)


def test_all_and_its_page_of_tables(monkeypatch, few, tmp_path, capsys):
    out = tmp_path / "all"
    monkeypatch.setenv("PYG_HAG_DATA", "/no/such/folder")  # none is needed
    assert run(monkeypatch, "all", "--quick", "--out", out, "--plot") == 2
    assert "benchmark failing: not here\n" in capsys.readouterr().err
    files = {f"{b.name}.{end}" for b in TWO for end in ("csv", "md", "png")}
    assert {path.name for path in out.iterdir()} == {*files, "environment.txt"}
    assert (out / "search.png").read_bytes().startswith(PNG)
    assert (
        f"torch {torch.__version__}".split()[1] in (out / "environment.txt").read_text()
    )
    text = (out / "search.md").read_text()
    assert text.startswith(TWO[0].about) and r"greedy, \|V\|/4" in text
    rows = read(out / "aggregate.csv")
    assert {row["graph"] for row in rows} == {*_graphs.QUICK}
    assert {row["rounds"] for row in rows} == {"3"}
    command = "python -m pyg_hag.benchmark aggregate --quick --rounds 3"
    assert {row["command"] for row in rows} == {command}
    (out / "other.csv").write_text("a,b\n1,2\n")

    assert run(monkeypatch, "tables", out) == 0
    page = capsys.readouterr().out
    assert page.startswith("# Benchmarks\n")
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## search", "## aggregate"]
    assert f"\n    {command}\n" in page and rows[0]["device"] in page
    for item in TWO:
        table = markdown(item.table(read_csv(out / f"{item.name}.csv")))
        assert table in page and table in (out / f"{item.name}.md").read_text()


def test_all_goes_on_with_what_is_not_in_its_folder(monkeypatch, few, root, capsys):
    out, arguments = root / "all", ["clique", "--root", root, "--resume"]
    out.mkdir()
    (out / "search.csv").write_text("kept")
    stopped = [{"case": "first"}]

    def stop(settings):
        yield stopped
        raise ValueError("stopped")

    benchmark.BENCHMARKS["failing"] = replace(TWO[0], name="failing", measure=stop)
    assert run(monkeypatch, "all", *arguments, "--widths", 4, "--out", out) == 2
    assert "search: kept" in capsys.readouterr().out
    assert (out / "search.csv").read_text() == "kept"
    assert read(out / "failing.csv.part")[0]["case"] == "first"
    assert (out / "aggregate.csv").exists() and not (out / "failing.csv").exists()


def test_the_page_has_a_line_for_each_kind_of_graph(monkeypatch, tmp_path, capsys):
    labels = {"width": 64, "model": "GCN, 3 layers", "contender": "HAG", "ms": 1}
    rows = [
        {"benchmark": "models", "graph": name, "mode": mode, **labels}
        | {"edges": 12345, "read_reduction": 2.51, "milliseconds_50": 1.0}
        | {"over edge_index": i + 1.04, **({"over CSR": i + 3.0} if i else {})}
        for name in ("Cora", "no kind", "COLLAB")
        for i, mode in enumerate(("forward", "training"))
    ]
    write_csv(tmp_path / "models.csv", rows[:2])
    write_csv(tmp_path / "models-more.csv", rows[2:])
    assert run(monkeypatch, "tables", tmp_path) == 0
    page = capsys.readouterr().out
    assert [row for row in page.splitlines() if row.startswith("## ")] == [
        "## Kinds of graphs",
        "## models",
    ]
    cells = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in page.split("## models")[0].splitlines()
        if row.startswith("| c")
    ]
    numbers = ["12,345", "1/2.5", "1.0x", "-", "2.0x", "4.0x"]
    assert page.count("| Cora ") == page.count("| no kind ") == 1
    assert cells == [
        ["collaborations", "COLLAB", *numbers],
        ["citations", "Cora", *numbers],
    ]


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("empty",)])
def test_the_page_needs_one_folder_with_files(monkeypatch, capsys, arguments):
    assert run(monkeypatch, "tables", *arguments) == 2
    assert "all --out FOLDER" in capsys.readouterr().err


def test_all_needs_a_folder(monkeypatch, capsys):
    assert run(monkeypatch, "all", "--quick") == 2
    assert "--out FOLDER" in capsys.readouterr().err


def test_a_wrong_result_is_an_error_that_names_both(monkeypatch, root, capsys):
    monkeypatch.setattr(aggregate, "aggregate", lambda x, hag: x.clone())
    out = root / "rows.csv"
    arguments = ["aggregate", "clique", "--root", root, "--widths", 4, "--out", out]
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    message = "clique, F = 4: 'plain HAG' does not compute what 'embedding_bag' does"
    assert message in said and not out.exists()


def test_machine_code_is_there_before_anything_is_timed(monkeypatch, few):
    seen = []

    def look(settings):
        seen.append(readiness.ready)
        yield []

    benchmark.BENCHMARKS["search"] = replace(TWO[0], measure=look)
    monkeypatch.setattr(readiness, "ready", False)
    assert run(monkeypatch, "search", "--quick") == 0 and seen == [True]


@pytest.mark.parametrize("name", FROM_FILES)
def test_without_data_a_line_says_what_to_pass(monkeypatch, tmp_path, capsys, name):
    def offline(*args):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(_graphs, "load_graphs", offline)
    for graphs in ([], ["COLLAB"]):
        if name == "int8" and not graphs:  # one of its graphs is generated
            continue
        assert run(monkeypatch, name, *graphs, "--root", tmp_path) == 2
        said = capsys.readouterr().err.splitlines()
        (line,) = [line for line in said if line.startswith("benchmark: ")]
        assert "--root" in line and "$PYG_HAG_DATA" in line and str(tmp_path) in line
        assert not any("Traceback" in line for line in said)


@pytest.mark.parametrize("name", ["train", "int8"])
def test_graphs_that_have_no_model_are_refused(monkeypatch, root, capsys, name):
    assert run(monkeypatch, name, "clique", "--root", root) == 2
    assert f"'{name}' has no model for clique" in capsys.readouterr().err


def test_the_environment(monkeypatch, capsys):
    for arguments in (["--env"], ["environment"]):
        assert run(monkeypatch, *arguments) == 0
        said = dict(
            line.split("  ", 1) for line in capsys.readouterr().out.splitlines()
        )
        assert said["torch"].strip() == torch.__version__
        assert said["threads"].strip() == str(torch.get_num_threads())
        for name in ("pyg_hag", "commit", "numba", "triton", "Python", "OS", "CPU"):
            assert said[name].strip()
        assert {"instructions", "GPU", "compiled code", "torch_scatter"} <= {*said}
    assert run(monkeypatch, "search", "--root", "/no/such/folder") == 2
    assert "'root' is not a folder" in capsys.readouterr().err


def test_the_commit_is_that_of_these_sources(monkeypatch, tmp_path):
    package = tmp_path / "pyg_hag"
    package.mkdir()
    monkeypatch.setattr(_environment.pyg_hag, "__file__", str(package / "x.py"))
    answers = {"rev-parse": str(tmp_path), "describe": "1e5"}
    monkeypatch.setattr(_environment, "_output", lambda command: answers[command[3]])
    assert _environment.commit.__wrapped__() == "1e5"
    answers["rev-parse"] = str(tmp_path.parent)  # installed in another repository
    assert _environment.commit.__wrapped__() == ""


def test_commands_can_be_repeated():
    settings = Settings(
        graphs=["a b"], widths=[4, 8], quick=True, root="r", out="o", self_loops=True
    )
    wanted = (
        "python -m pyg_hag.benchmark search 'a b' --widths 4 8 --quick --self-loops"
    )
    assert settings.command("search") == wanted
    assert Settings(widths=[]).command("cost") == "python -m pyg_hag.benchmark cost"


@pytest.mark.parametrize(
    ("plot", "message"), [([], "needs a file"), (["x.pdf"], "takes a PNG file")]
)
def test_where_a_picture_goes(monkeypatch, root, capsys, plot, message):
    arguments = ["search", "clique", "--root", root, "--plot", *plot]
    try:
        assert run(monkeypatch, *arguments) == 2
    except SystemExit as error:  # of argparse
        assert error.code == 2
    assert message in capsys.readouterr().err
    out = root / "rows.csv"
    assert run(monkeypatch, *arguments[: -len(plot) or None], "--out", out) == 0
    assert out.with_suffix(".png").read_bytes().startswith(PNG)


def test_pictures_of_few_and_of_many_rows(tmp_path):
    path = tmp_path / "x.png"
    speedups = {"speedup_20": 0.5, "speedup_50": 2.0, "speedup_80": 3.0}
    rows = [
        {"case": f"c{i}", "contender": name, "baseline": f"base{i % 2}", **speedups}
        for i in range(45)
        for name in ("HAG", f"base{i % 2}")
    ]
    for some in ([], rows):
        plot_ratios(some, str(path))
        assert path.read_bytes().startswith(PNG)
        path.unlink()
    plot_values([{"case": "a", "contender": "b"}, *rows[:2]], "speedup_50", "", path)
    assert path.read_bytes().startswith(PNG)


def test_rows_come_back_from_their_file(tmp_path):
    rows = [
        {"commit": "1e5", "graph": "a", "F": 16, "ms": 0.5, "captured": True},
        {"graph": "b", "ms": 2e-7, "captured": False, "command": "c"},
    ]
    write_csv(tmp_path / "x.csv", rows)
    assert read_csv(tmp_path / "x.csv") == rows
    assert (tmp_path / "x.csv").read_text().startswith("graph,F,ms,captured,commit,")
    assert read_csv(tmp_path / "none.csv") == []


def test_tables():
    rows = [["graph", "F"], ["a", "16"], ["long name", "4"]]
    assert text_table(rows).splitlines() == [
        "graph       F",
        "---------  --",
        "a          16",
        "long name   4",
    ]
    assert markdown_table(rows).splitlines() == [
        "| graph     |  F |",
        "|-----------|---:|",
        "| a         | 16 |",
        "| long name |  4 |",
    ]
