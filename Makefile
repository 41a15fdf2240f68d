# The three commands of the README, and what they need. Everything lands in .venv; nothing else is touched.
PYTHON ?= python3
PLAN ?= jobs/plans/sample.yaml
BIN := .venv/bin

.PHONY: help demo test test-fast test-long test-clients check format serve clean

help:
	@echo "make demo       run $(PLAN) from data to a released winner"
	@echo "make serve      serve the winner and print a curl line"
	@echo "make test       the test suite"
	@echo "make test-fast  without the tests that take minutes"
	@echo "make test-long  curricula to their end: every plan that ships, kills, many workers"
	@echo "make test-clients  the gateway with the clients of LangChain and LlamaIndex"
	@echo "make check      format, lint, types"

# pip writes no stamp of its own: the stamp is newer than what it was installed from.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/installed
	$(BIN)/python -m jobs.pipeline $(PLAN)

serve: .venv/installed
	$(BIN)/python -m serve.app $(PLAN)

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

clean:
	rm -rf .venv .venv-clients .mixstage
