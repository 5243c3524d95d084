"""What the modules of this package import, read from their sources."""

import ast
from pathlib import Path

import pyg_hag

CODE = Path(pyg_hag.__file__).parent


def imports_of(file):
    """All modules of this package that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            for alias in node.names:  # a module, or a name in one
                name = f"{node.module}.{alias.name}"
                found.add(name if name in FILES else node.module)
    return {name for name in found if name.split(".")[0] == "pyg_hag"}


FILES = {
    ".".join(("pyg_hag", *file.relative_to(CODE).with_suffix("").parts)): file
    for file in CODE.rglob("*.py")
}
FILES = {name.removesuffix(".__init__"): file for name, file in FILES.items()}
MODULES = {name: imports_of(file) - {name} for name, file in FILES.items()}
