# Two commands: `make demo` and `make test`. Each makes what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet \
	--constraint .ci/constraints.txt

# As many processes as there are cores; those that count threads share one.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

.PHONY: demo test test-full attack lint test-bounds test-sparse test-triton test-pyg \
	docs notebooks package matrix benchmark clean

demo: $(VENV)/installed
	$(BIN)/pyg-hag demo

# Of each cross product of the tests a sample in which every pair of values occurs.
test: lint
	$(PYTEST)

# All of them but the attacks that take an hour.
test-full: lint
	$(PYTEST) --full -m "not attack"

# All attacks on files, pickles, limits, signals, processes: see docs/reliability.md.
attack: $(VENV)/installed-dev
	$(PYTEST) --dist worksteal --full tests/test_attacks.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pyg_hag

# The tests of everything jitted with every index checked; other machine code. Layers
# and models call the same kernels, so theirs are left out, what is about compiling,
# and attacks, whose processes would compile it all again.
test-bounds: $(VENV)/installed-dev
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/bounds $(PYTEST) \
		--ignore tests/nn/conv --ignore tests/nn/test_pytorch.py \
		--ignore tests/benchmark --ignore tests/quantization/test_prepare.py \
		--ignore tests/test_attacks.py \
		--ignore tests/test_demo.py --ignore tests/test_package.py \
		--ignore tests/test_warmup.py --ignore tests/test_lightning.py \
		-k "not compile and not instruction_sets"

# Builds torch_scatter and torch_sparse against the installed torch: minutes, once.
test-sparse: $(VENV)/installed-sparse
	$(PYTEST) --full -m sparse

# The kernels of GPUs, run by Triton's interpreter where there is none: hours; ONLY names
# some of the tests, as `pytest -k` does.
test-triton: $(VENV)/installed-triton
	TRITON_INTERPRET=1 $(PYTEST) -m triton -k "$(ONLY)"

# PyG's own tests, with every call of a layer repeated on HAGs: PYG is the folder with
# `test/`, PYG_TESTS names some of them.
PYG_TESTS ?= $(addprefix test/,nn transforms explain loader utils data)
test-pyg: $(VENV)/installed-sparse
	cd "$(PYG)" && PYTHONPATH="$(CURDIR)/tests" "$(CURDIR)/$(BIN)/python" -m pytest -q \
		-p pyg_suite.plugin -p no:xdist -p no:cacheprovider --disable-warnings \
		--pyg-suite-report "$(CURDIR)/$(VENV)/pyg-suite.csv" $(PYG_TESTS)

# The documentation as pages, in .venv/docs; a warning is an error.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs $(VENV)/docs

# Runs every notebook from its first cell to its last; what they show is left as it is.
notebooks: $(VENV)/installed-dev
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=300 -p no:xdist notebooks

benchmark: $(VENV)/installed
	$(BIN)/python -m pyg_hag.benchmark search
	$(BIN)/python -m pyg_hag.benchmark aggregate

# The package as it is published, in dist, installed into an empty environment, in which
# the demo then runs.
package: $(VENV)/installed
	rm -rf dist $(VENV)/package
	$(INSTALL) hatchling
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv $(VENV)/package
	$(VENV)/package/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint .ci/constraints.txt dist/*.whl
	cd $(VENV) && package/bin/pyg-hag demo --generated --epochs 1

# The tests with other versions of Python, PyTorch, PyG and Numba: see .ci/matrix.txt.
matrix:
	.ci/matrix

$(VENV)/installed-triton: $(VENV)/installed-dev
	$(INSTALL) --editable .[gpu]
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) --editable .[docs]
	touch $@

clean:
	rm -rf $(VENV)

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .[demo]
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable .[dev]
	touch $@

$(VENV)/installed-sparse: $(VENV)/installed-dev
	$(INSTALL) setuptools wheel ninja
	printf '%s\n' torch_scatter torch_sparse | \
		xargs -n 1 -P 2 $(INSTALL) --no-build-isolation
	touch $@
