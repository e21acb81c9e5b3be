PYTHON ?= python3
READY := .venv/.ready# holds the folder for which the environment was made: moved elsewhere, it would call Python where it was
ifneq ($(shell cat .venv/.ready 2> /dev/null),$(shell pwd -P))
.PHONY: $(READY)
endif
override BASE := $(value BASE)# as it was given: no $(...) in it is make's to run
override DEVICE := $(value DEVICE)
export BASE DEVICE
# A calling Git's GIT_DIR, GIT_INDEX_FILE, … would turn what runs here on its repository.
unexport $(shell git rev-parse --local-env-vars)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Drop a user's settings that put packages elsewhere, or hide this folder from Python. Keep an index, a proxy, a certificate.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONSAFEPATH
PIP := .venv/bin/pip install --no-user --quiet --disable-pip-version-check

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

repro: $(READY) ## set up if needed, mend what a kill or a merge left, then bring every result and what the pages quote up to date
	@python -m tools.mend
	dvc repro
	@python -m stages.pages
	@echo "every result is up to date: see README.md, open plots/explorer.html; another λ: . .venv/bin/activate && dvc exp run -S wd=1, then make diff"

setup: $(READY) ## install into .venv what is needed, and run nothing

test: $(READY) ## set up if needed, then lint, type-check and test
	ruff check stages tools tests
	ruff format --check stages tools tests
	mypy
	pytest --numprocesses auto --maxprocesses 4 --dist loadfile

verify: $(READY) ## run HEAD's pipeline from nothing in a clone, and compare with what is committed, byte for byte
	python -m tools.verify

diff: $(READY) ## what the working tree changes against the last commit, or BASE=HEAD~1, in a table; ALL=1: every value
	@python -m tools.diff "$${BASE:-HEAD}"

report: $(READY) ## the same in Markdown with words and figures, against BASE, a branch, tag, commit or experiment
	@python -m tools.report "$${BASE:-origin/main}"

show: $(READY) ## the experiments of this commit in a table: the params that differ, and each study's headlines
	@python -m tools.show

reset: $(READY) ## back to the committed params and results, and their data, after an experiment
	@python -m tools.reset

site: $(READY) ## build/site, to publish: the explorer, the pages that it links, their figures
	@python -m tools.site

bench: $(READY) ## models trained per second, against JAX, a loop and scikit-learn; LOAD=1: beside busy neighbours
	$(PIP) --constraint requirements.txt jax==0.10.2
	python -m tools.bench

gpu: ## every number anew on a GPU, or DEVICE=cpu, against the committed ones; its tests; its speed, in docs/scale.md
	@$(PYTHON) -m tools.gpu "$${DEVICE:-cuda}"

extras: $(READY) ## install what the tests of the explorer, an SSH remote and Ray need, beside Debian's chromium and openssh-server
	@for each in dvc-ssh playwright ray; do \
		$(PIP) --constraint requirements-extras.txt $$each || \
			echo "not installed: $$each: the tests that need it are skipped" >&2; \
	done
	@! command -v npm > /dev/null || (cd .venv && npm pack --silent axe-core@4.14.1 > /dev/null && \
		tar -xzf axe-core-4.14.1.tgz --strip-components=1 package/axe.min.js && rm axe-core-4.14.1.tgz) || \
		echo "not installed: axe-core, which finds what bars people: the test that needs it is skipped" >&2

clean: ## remove the environment and DVC's cache; keeps every result
	rm -rf .venv .dvc/cache .dvc/tmp build

$(READY): requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: expected Python 3.11 to 3.13, got {v.major}.{v.minor}; try make PYTHON=python3.13")'
	@[ ! -s $@ ] || [ "$$(cat $@)" = "$$(pwd -P)" ] || { echo "the folder was moved: its environment is made anew"; rm -rf .venv; }
	$(PYTHON) -m venv .venv || { echo "error: \`$(PYTHON) -m venv\` failed, as said above; it has no ensurepip? Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PIP) --requirement requirements.txt
	@[ -x .venv/bin/dvc ] || { echo "error: expected pip to install into .venv, got another place: see target, prefix and root in \`pip config list\`" >&2; exit 1; }
	pwd -P > $@

.PHONY: help setup repro test verify diff report show reset site bench gpu extras clean
