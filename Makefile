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

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

repro: $(READY) ## set up if needed, then bring every result up to date, and what README and pages quote of it
	dvc repro
	@python -m stages.pages

test: $(READY) ## set up if needed, then lint, type-check and test
	ruff check stages tools tests
	ruff format --check stages tools tests
	mypy
	pytest --numprocesses auto --maxprocesses 4 --dist loadfile

recover: $(READY) ## after a kill of DVC: mend the lock files that it leaves half-written, then reproduce
	rm -f .dvc/tmp/rwlock
	! dvc status 2>&1 > /dev/null | grep -q dvc.lock || git checkout --quiet -- dvc.lock
	dvc repro
	@python -m stages.pages

verify: $(READY) ## run HEAD's pipeline from nothing in a clone, and compare with what is committed, byte for byte
	python -m tools.verify

diff: $(READY) ## what the working tree changes against the last commit, or BASE=HEAD~1, in a table; ALL=1: every value
	@python -m tools.diff "$${BASE:-HEAD}"

report: $(READY) ## the same in Markdown with words and figures, against BASE, a branch, tag, commit or experiment
	@python -m tools.report "$${BASE:-origin/main}"

comment: ## in a workflow: post the report of RUN, which checked COMMIT of HEAD_BRANCH in HEAD_REPOSITORY, on its pull request
	@$(PYTHON) -m tools.comment

show: $(READY) ## the experiments of this commit in a table: what differs, validation losses, weight norms
	@python -m tools.show

compare: $(READY) ## all experiments of this commit in one picture, build/compare.png
	@python -m tools.compare

reset: $(READY) ## back to the committed params and results, and their data, after an experiment
	@python -m tools.reset

ssh: $(READY) ## what a remote on an SSH server needs
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements-ssh.txt

ray: $(READY) ## what training on a Ray cluster needs
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements-ray.txt

browser: $(READY) ## what the tests of the explorer need, beside chromium: playwright, and axe-core, which finds what bars people
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements-browser.txt
	! command -v npm > /dev/null || (cd .venv && npm pack --silent axe-core@4.14.1 > /dev/null && tar -xzf axe-core-4.14.1.tgz --strip-components=1 package/axe.min.js && rm axe-core-4.14.1.tgz)

picture: $(READY) ## docs/explorer.png, the README's picture of the explorer; after make browser
	@python -m tools.picture

site: $(READY) ## build/site, to publish: the explorer, the pages that it links, their figures
	@python -m tools.site

bench: $(READY) ## models trained per second, against JAX, a loop and scikit-learn; LOAD=1: beside busy neighbours
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint requirements.txt jax==0.10.2
	python -m tools.bench

gpu: ## every number anew on a GPU, or DEVICE=cpu, against the committed ones; its tests; its speed, in docs/scale.md
	@$(PYTHON) -m tools.gpu "$${DEVICE:-cuda}"

clean: ## remove the environment and DVC's cache; keeps every result
	rm -rf .venv .dvc/cache .dvc/tmp build

$(READY): requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: expected Python 3.11 to 3.13, got {v.major}.{v.minor}; try make PYTHON=python3.13")'
	@[ ! -s $@ ] || [ "$$(cat $@)" = "$$(pwd -P)" ] || { echo "the folder was moved: its environment is made anew"; rm -rf .venv; }
	$(PYTHON) -m venv .venv || { echo "error: python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	pwd -P > $@

.PHONY: help repro test recover verify diff report comment show compare reset ssh ray browser picture site bench gpu clean
