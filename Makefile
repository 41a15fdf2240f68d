# The three commands of the README, and what they need. Everything lands in .venv; nothing else is touched.
PYTHON ?= python3
PLAN ?= sample
BIN := .venv/bin

.PHONY: help demo test test-fast test-long test-clients check format docs serve clean

help:
	@echo "make demo       run $(PLAN) from data to a released winner"
	@echo "make serve      serve the winner and print a curl line"
	@echo "make test       the test suite"
	@echo "make test-fast  without the tests that take minutes"
	@echo "make test-long  curricula to their end: every plan that ships, kills, many workers"
	@echo "make test-clients  the gateway with the clients of LangChain and LlamaIndex"
	@echo "make check      format, lint, types"
	@echo "make format     format, and repair what lint can"
	@echo "make docs       the documentation as a site, in site/"

# pip writes no stamp of its own: the stamp is newer than what it was installed from.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

demo: .venv/installed
	$(BIN)/mixstage pipeline $(PLAN)

serve: .venv/installed
	$(BIN)/mixstage serve $(PLAN)

test: .venv/installed
	$(BIN)/python -m pytest -m "not long"

test-fast: .venv/installed
	$(BIN)/python -m pytest -m "not slow and not long"

test-long: .venv/installed
	$(BIN)/python -m pytest -m long

# Frameworks stay apart: they bring versions of their own.
.venv-clients/installed: tests/serve/clients/requirements.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-clients: .venv/installed .venv-clients/installed
	$(BIN)/python -m pytest tests/serve/compat/test_frameworks.py

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The switch is the theme's own: it announces its successor before every build.
docs: .venv/installed
	$(BIN)/python -m docs.write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf site .venv .venv-clients .mixstage
