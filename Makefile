# From a bare clone: `make demo` and `make test` set up all they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
# What is imported is compiled when it first is: most of what is installed never is.
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Stamps: an environment is installed once, and again when a requirement changes.
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
REQUIREMENTS := setup.cfg pyproject.toml constraints.txt

# Where the environment forbids it, each of the many processes would compile torch and all else anew.
export PYTHONDONTWRITEBYTECODE :=

# `make test COVERAGE=yes` says also which share of the lines the tests run.
COVER := $(if $(COVERAGE),--cov --cov-report=term)

.PHONY: venv demo test slow lint docs pictures bench dist words clean

venv: $(DEVELOPMENT)

# pip is the last thing that venv writes: without it the environment is missing or half made.
# torch comes first and by its exact version, so that no other package chooses it.
$(RUNTIME): $(REQUIREMENTS)
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) install --no-compile $(shell grep '^torch==' constraints.txt)
	$(PIP) install --no-compile -c constraints.txt -e '.[atari]'
	touch $@

$(DEVELOPMENT): $(RUNTIME)
	$(PIP) install --no-compile -c constraints.txt -e '.[atari,benchmark,box2d,dmc,highway,hub,notebook,ray,robot,shap,vizdoom,zoo,docs,test,lint]'
	touch $@

demo: $(RUNTIME)
	$(BIN)/sb3-explain demo -o demo-output

# One thread for each of the worker processes, which are as many as the processors.
test: $(DEVELOPMENT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal --durations=15 -m "not slow" $(COVER)

# The examples, the code in the documentation, and what else takes long.
slow: $(DEVELOPMENT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal --durations=15 -m slow

# What docs/words.toml forbids.
words: $(DEVELOPMENT)
	$(BIN)/python tests/check_words.py

lint: $(DEVELOPMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_words.py

# From nothing each time: a second build is silent about the warnings of the first.
docs: $(DEVELOPMENT)
	rm -rf docs/_build
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

# The pictures of the documentation that scripts draw, anew; it takes half an hour or more.
pictures: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks.draw_how_to
	$(BIN)/python -m benchmarks.draw_front_page
	$(BIN)/python -m benchmarks.draw_contact_sheet
	$(BIN)/python -m benchmarks.draw_page
	$(BIN)/python -m benchmarks.draw_gallery
	$(BIN)/python -m benchmarks.draw_export
	$(BIN)/python -m benchmarks.draw_study

bench: $(DEVELOPMENT)
	$(BIN)/python benchmarks/run.py

# What a release uploads, built and checked in environments of its own.
dist:
	PYTHON=$(PYTHON) .ci/dist

clean:
	rm -rf .venv demo-output build dist sb3_explain.egg-info .coverage
	rm -rf docs/_build docs/_generated
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
