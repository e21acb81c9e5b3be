PYTHON ?= python3
READY := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

repro: $(READY) ## set up if needed, then bring every result up to date
	dvc repro

test: $(READY) ## set up if needed, then lint, type-check and test
	ruff check stages tests
	ruff format --check stages tests
	mypy
	pytest

bench: $(READY) ## models trained per second, against JAX, a course's loop and scikit-learn
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint requirements.txt jax==0.10.2
	python tests/bench.py

clean: ## remove the environment and DVC's cache; keeps every result
	rm -rf .venv .dvc/cache .dvc/tmp build

$(READY): requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: expected Python 3.11 to 3.13, got {v.major}.{v.minor}; try make PYTHON=python3.13")'
	$(PYTHON) -m venv .venv || { echo "error: python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

.PHONY: help repro test bench clean
