# Each target sets up what it needs, and says so. PYTHON chooses the interpreter; without it 'demo'
# takes python3, and tests run on the oldest Python that is found, one in the middle and the newest
# (see tools/pythons.sh).
PYTHON ?=
PYTEST_ARGS ?=
DEMO_DIR ?= .demo

VENV := .venv
LINT_VENV := .venv-lint
PYTHON_DIRS := src tests benchmarks examples tools
SPELLED := src benchmarks examples tools docs .ci Makefile pyproject.toml $(wildcard *.md)
# Only a Python that is named in the command line: tests on fewer of them are to be a decision.
TEST_PYTHON := $(if $(filter command,$(firstword $(origin PYTHON))),--python "$(PYTHON)")

.PHONY: help demo test quick lint format package bench dropin clean $(VENV) $(LINT_VENV)

help:
	@echo "make demo     run the example suites (half a minute, and as long to set up)"
	@echo "make quick    the tests that take less than a minute together; PYTEST_ARGS=... chooses others"
	@echo "make test     all tests, on up to three Pythons, and on real schedulers that it can start"
	@echo "make lint     formatting, style, types, import contracts, spelling"
	@echo "make format   put the code into the format that 'make lint' wants"
	@echo "make package  build the wheel and try it in an empty environment"
	@echo "make bench    measure"

demo: $(VENV)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tools/demo.sh "$(DEMO_DIR)"

test:
	@python=$$(tools/pythons.sh newest) && exec "$$python" tools/test.py $(TEST_PYTHON) $(PYTEST_ARGS)

quick:
	@python=$$(tools/pythons.sh newest) && exec "$$python" tools/test.py --quick $(TEST_PYTHON) $(PYTEST_ARGS)

lint: $(LINT_VENV)
	$(LINT_VENV)/bin/ruff format --check --quiet $(PYTHON_DIRS) || { echo "'make format' formats them." >&2; exit 1; }
	$(LINT_VENV)/bin/ruff check $(PYTHON_DIRS)
	$(LINT_VENV)/bin/codespell $(SPELLED)
	$(LINT_VENV)/bin/mypy
	@# Nothing else notices when a benchmark uses what is gone.
	MYPYPATH=src:tests:tests/slurm:benchmarks $(LINT_VENV)/bin/mypy --explicit-package-bases \
		--disable-error-code=func-returns-value --disable-error-code=misc benchmarks/*.py
	$(LINT_VENV)/bin/lint-imports
	$(LINT_VENV)/bin/python tools/words.py
	sh -n tools/*.sh .ci/run

format: $(LINT_VENV)
	$(LINT_VENV)/bin/ruff check --fix $(PYTHON_DIRS)
	$(LINT_VENV)/bin/ruff format $(PYTHON_DIRS)

package: $(LINT_VENV)
	@$(LINT_VENV)/bin/python tools/package.py

bench: $(VENV)
	$(VENV)/bin/python benchmarks/run.py

# The scheduler tests of a Pavilion checkout, as it is and with our directory; see tools/dropin.py.
dropin: $(VENV)
	@test -n "$(PAVILION)" || { echo "Say which checkout: make dropin PAVILION=path" >&2; exit 2; }
	@$(VENV)/bin/python tools/dropin.py "$(PAVILION)" $(DROPIN_ARGS)

# tools/venv.sh does nothing when all is there.
$(VENV):
	@python="$(PYTHON)"; python=$${python:-$$(tools/pythons.sh default)} && tools/venv.sh "$$python" $(VENV) .

$(LINT_VENV):
	@python="$(PYTHON)"; python=$${python:-$$(tools/pythons.sh newest)} && tools/venv.sh "$$python" $(LINT_VENV) '.[lint,test]'

clean:
	rm -rf .venv .venv-* .demo .test-results build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
