# make env    .venv with the pinned PyMC3 and TensorFlow stacks (Python 3.11) and the compiled kernels
# make demo   the documentation's model, sampled with PyMC3
# make test   lint and all tests but the slow ones
# make test-some T="tests/problems tests/codegen/test_printer.py"   the tests that are named
# make test-modern   .venv-modern with the newest TensorFlow and NumPy 2, and the tests that need no PyMC3 there
PYTHON ?= python3.11
WORKERS ?= 2

BIN := .venv/bin
INSTALLED := .venv/.requirements-installed
BUILT := .venv/.kernels-built
BENCHMARK := .venv/.benchmark-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
KERNELS := $(wildcard csrc/*.pyx csrc/*.pxi csrc/*.h csrc/*.c)
PACKAGE := $(shell find implicitops -name __pycache__ -prune -o -name include -prune -o -type f ! -name '*.so' -print)

MODERN := .venv-modern/bin
MODERN_INSTALLED := .venv-modern/.requirements-installed
MODERN_BUILT := .venv-modern/.package-installed
MODERN_TESTS := tests/backends tests/calculus tests/codegen tests/kernels tests/problems tests/symbolic tests/external tests/verify tests/test_status.py

.PHONY: env demo test test-some test-modern test-slow lint bench docs clean
.DELETE_ON_ERROR:

env: $(BUILT)

# The venv is complete only with the stamp, so an interrupted install is repeated.
$(INSTALLED): requirements/build.txt requirements/legacy.txt requirements/tensorflow.txt requirements/development.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make env needs Python 3.11: '$(PYTHON)' was not found. Install it, or pass PYTHON=/path/to/python3.11."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make env needs Python 3.11 (the PyMC3 stack is pinned for it), but '$(PYTHON)' is another version."; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make env needs Python's venv module. On Debian: apt-get install python3.11-venv"; exit 1; }
	@"$(PYTHON)" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || { \
	  echo "make env needs Python's C header Python.h. On Debian: apt-get install python3.11-dev"; exit 1; }
	@command -v "$${CXX:-c++}" >/dev/null || { \
	  echo "make env needs a C++ compiler. On Debian: apt-get install g++"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(PIP) install -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation -r requirements/legacy.txt -r requirements/tensorflow.txt \
	  -r requirements/development.txt
	@touch $@

$(BUILT): $(INSTALLED) setup.py pyproject.toml $(KERNELS)
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(BENCHMARK): $(INSTALLED) requirements/benchmark.txt
	$(PIP) install --no-deps -r requirements/benchmark.txt
	@touch $@

$(MODERN_INSTALLED): requirements/modern.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make test-modern needs Python 3.11: pass PYTHON=/path/to/python3.11. See 'make env' for the rest."; exit 1; }
	@test -x $(MODERN)/python || "$(PYTHON)" -m venv .venv-modern
	$(MODERN)/python -m pip --disable-pip-version-check --quiet install --no-deps -r requirements/modern.txt
	@touch $@

# Not editable, so that the kernels of .venv, which lie in the source tree, stay as they are. build/lib* may hold
# modules that no longer exist.
$(MODERN_BUILT): $(MODERN_INSTALLED) setup.py pyproject.toml $(KERNELS) $(PACKAGE)
	find build/lib* -name '*.py' -delete 2>/dev/null || true
	$(MODERN)/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation \
	  --force-reinstall .
	@touch $@

demo: env
	$(BIN)/python examples/documentation_model.py

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-some: env
	@test -n "$(T)" || { echo 'make test-some needs the tests to run: make test-some T="tests/problems tests/codegen"'; exit 1; }
	$(BIN)/python -m pytest -n $(WORKERS) $(T)

# -P and PYTHONSAFEPATH: what is imported is the package in .venv-modern, not the source tree with the kernels of .venv.
test-modern: $(MODERN_BUILT)
	@$(MODERN)/python -P -c 'import implicitops, sys; sys.exit(not implicitops.__file__.startswith(sys.prefix))' || { \
	  echo "make test-modern would test the source tree instead of the package in .venv-modern."; exit 1; }
	PYTHONSAFEPATH=1 $(MODERN)/python -m pytest -n $(WORKERS) -m "not slow" $(MODERN_TESTS)
	PYTHONSAFEPATH=1 $(MODERN)/python -m pytest -m slow -k another_version tests/backends/test_tensorflow_processes.py

test-slow: env
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: env $(BENCHMARK)
	$(BIN)/python benchmarks/run.py

docs: env
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf .venv .venv-modern build dist docs/_build docs/api/generated implicitops.egg-info implicitops/include
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find implicitops -name '*.so' -delete
	find implicitops tests -name __pycache__ -type d -prune -exec rm -rf {} +
