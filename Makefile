# Each target sets up what it needs. PYTHON chooses the interpreter for demo and lint;
# tests run on the oldest and the newest supported Python that is found (see tools/pythons.sh).
PYTHON ?= python3
PYTEST_ARGS ?=
DEMO_DIR ?= .demo

VENV := .venv
LINT_VENV := .venv-lint
PYTHON_DIRS := src tests benchmarks examples tools

.PHONY: demo test lint format bench docs dropin clean

demo: $(VENV)/ready
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tools/demo.sh "$(DEMO_DIR)"

test:
	@tools/test.sh $(PYTEST_ARGS)

lint: $(LINT_VENV)/ready
	$(LINT_VENV)/bin/ruff format --check --quiet $(PYTHON_DIRS) || { echo "'make format' formats them." >&2; exit 1; }
	$(LINT_VENV)/bin/ruff check $(PYTHON_DIRS)
	$(LINT_VENV)/bin/mypy
	$(LINT_VENV)/bin/lint-imports
	$(LINT_VENV)/bin/python tools/words.py
	sh -n tools/*.sh .ci/run

format: $(LINT_VENV)/ready
	$(LINT_VENV)/bin/ruff check --fix $(PYTHON_DIRS)
	$(LINT_VENV)/bin/ruff format $(PYTHON_DIRS)

bench: $(VENV)/ready
	$(VENV)/bin/python benchmarks/run.py

# The scheduler tests of a Pavilion checkout, as it is and with our folder; see tools/dropin.py.
dropin: $(VENV)/ready
	@test -n "$(PAVILION)" || { echo "Say which checkout: make dropin PAVILION=path" >&2; exit 2; }
	@$(VENV)/bin/python tools/dropin.py "$(PAVILION)" $(DROPIN_ARGS)

$(VENV)/ready: pyproject.toml
	@tools/venv.sh "$(PYTHON)" $(VENV) .

$(LINT_VENV)/ready: pyproject.toml
	@tools/venv.sh "$$(tools/pythons.sh newest)" $(LINT_VENV) '.[lint,test]'

clean:
	rm -rf .venv .venv-* .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
