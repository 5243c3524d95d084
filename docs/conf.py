"""How Sphinx builds the documentation: `make docs`."""

import pyg_hag

project = "pyg_hag"
author = "the authors of pyg_hag"
release = version = pyg_hag.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
html_theme = "furo"
html_title = f"pyg_hag {release}"
exclude_patterns = ["_build", "benchmarks/*"]
autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"  # they are in the docstrings
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
default_role = "code"  # single backquotes in docstrings
