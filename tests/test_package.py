import graphlib
import subprocess
import sys

import pytest
from imports import CODE, MODULES

import pyg_hag


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_public_names_exist_and_are_few():
    assert len(pyg_hag.__all__) <= 19
    for name in pyg_hag.__all__:
        assert getattr(pyg_hag, name).__doc__


@pytest.mark.full
def test_optional_packages_are_not_needed():
    loaded = python(
        "import sys\n"
        "others = 'torch_sparse torch_scatter triton matplotlib networkx'\n"
        "for name in others.split():\n"
        "    sys.modules[name] = None\n"
        "import pyg_hag.nn\n"
        "print(*sys.modules)"
    )
    assert "pyg_hag.nn" in loaded


def test_the_help_of_the_command_imports_no_library():
    loaded = python(
        "import contextlib, io, sys\n"
        "import pyg_hag.cli\n"
        "with contextlib.suppress(SystemExit):\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        pyg_hag.cli.main(['--help'])\n"
        "print(*sys.modules)"
    )
    assert not {"torch", "numba", "torch_geometric"} & {*loaded}


def test_names_are_there_when_they_are_used():
    homes = [name for names in pyg_hag._HOMES.values() for name in names]
    assert sorted(homes) == sorted(pyg_hag.__all__)
    loaded = python(
        "import pyg_hag\n"
        "assert {'HAG', 'nn', 'warmup'} <= {*dir(pyg_hag)}\n"
        "print(pyg_hag.nn.to_hag.__name__, pyg_hag.HAG.__name__)\n"
        "import sys\n"
        "before = pyg_hag.HAG\n"
        "from pyg_hag import *\n"
        "print(HAG is before, hasattr(pyg_hag, 'no_such_name'))"
    )
    assert loaded == ["to_hag", "HAG", "True", "False"]


def test_a_type_checker_sees_the_same_names():
    """What a type checker reads and what is imported at run time are the same."""
    typed = {room_of(name) for name in MODULES["pyg_hag"]}
    assert typed == {home.split(".")[0] for home in pyg_hag._HOMES}


MAY_IMPORT = {
    "utils": "",
    "runtime": "",
    "graph": "runtime utils",
    "drawing": "utils",
    "hag": "drawing graph runtime utils",
    "plan": "hag runtime utils",
    "ops": "hag plan runtime utils",
    "cost": "hag plan runtime utils",
    "search": "cost graph hag plan runtime utils",
    "data": "hag utils",
    "transforms": "data graph hag search utils",
    "loader": "hag search transforms",
    "nn": "data graph hag ops plan utils",
    "quantization": "data graph hag nn ops runtime utils",
    "datasets": "",
    "analysis": "cost graph hag ops plan runtime search utils",
    "_warmup": "hag ops plan runtime search transforms",
    "cli": "analysis cost datasets graph nn ops search transforms utils",
    "benchmark": "*",
    "__init__": "*",
}
"""What each package or module of the top level may import, besides itself."""


def room_of(module):
    """The package or module of the top level in which a module lies."""
    return [*module.split("."), "__init__"][1]


def test_packages_import_what_the_table_says():
    rooms = {room_of(module) for module in MODULES}
    assert rooms == {*MAY_IMPORT}
    wrong = []
    for module, imported in MODULES.items():
        room = room_of(module)
        allowed = {room, *MAY_IMPORT[room].split()}
        if "*" not in allowed:
            others = {room_of(name) for name in imported - {"pyg_hag"}}
            wrong += [(module, other) for other in sorted(others - allowed)]
    assert not wrong


def test_the_table_allows_nothing_that_is_not_used():
    used = {room: {room} for room in MAY_IMPORT}
    for module, imported in MODULES.items():
        used[room_of(module)] |= {room_of(name) for name in imported - {"pyg_hag"}}
    for room, allowed in MAY_IMPORT.items():
        if allowed != "*":
            assert {*allowed.split()} == used[room] - {room}, room


def test_names_are_imported_from_where_they_are_defined():
    for module, imported in MODULES.items():
        if room_of(module) not in ("benchmark", "cli"):
            assert "pyg_hag" not in imported, module


def test_no_module_imports_itself_through_others():
    """Imports inside functions count: they only hide a cycle."""
    graph = {name: imported - {"pyg_hag"} for name, imported in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises with a cycle, if there is one


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
