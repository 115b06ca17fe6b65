# Two commands: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# uv installs the pinned packages in seconds; where pip is told of local wheels, uv is told too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: help demo test lint bench bench-training bench-serving soak rehearse images lock clean
help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.run        ## the whole chain on drawn photos; PHOTOS=folder-or-zip takes real ones
	$(BIN)/catsdogs demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: $(VENV)/.dev        ## all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

lint: $(VENV)/.dev        ## flake8, the strict type check, manifests, workflow, images and shell scripts
	$(BIN)/flake8 src tests scripts benchmarks
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy -p scripts.rehearsal
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/mlops-pipeline.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/shellcheck scripts/*.sh scripts/pipeline/*.sh .ci/run
	$(BIN)/hadolint Dockerfile Dockerfile.serve
	$(BIN)/python -m tests.k8s

bench: $(VENV)/.dev       ## measure; PHOTOS=zip of real ones; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py $(if $(PHOTOS),--photos "$(PHOTOS)")

bench-training: $(VENV)/.dev  ## accuracy by time of training; PHOTOS=zip of real ones; writes benchmarks/TRAINING.md
	$(BIN)/python benchmarks/race.py $(if $(PHOTOS),--photos "$(PHOTOS)")

bench-serving: $(VENV)/.dev  ## `catsdogs serve` beside other servers; PHOTOS=zip of real ones; writes benchmarks/SERVING.md
	$(BIN)/python benchmarks/serving.py $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(MODEL),--model "$(MODEL)")

soak: $(VENV)/.dev       ## the long proofs: kills and faults of versions and trainings, the service under fire, a million requests
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/soak_training.py
	$(BIN)/python benchmarks/soak_serving.py
	$(BIN)/python benchmarks/hoard.py
	$(BIN)/python benchmarks/million.py

images:          ## both container images, with their labels; needs Docker
	scripts/build_images.sh

rehearse: $(VENV)/.dev   ## the workflow's push path for real, on this machine; needs a Docker engine
	$(BIN)/python -m scripts.rehearsal

lock: $(VENV)/.uv         ## pin every version anew from pyproject.toml into constraints.txt
	UV_FIND_LINKS= $(BIN)/uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 \
	  --no-annotate --custom-compile-command "make lock" -o constraints.txt

clean:           ## remove the environment and what the demo made
	rm -rf $(VENV) demo .mypy_cache .pytest_cache

$(VENV)/.uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q uv
	@touch $@

# The demo needs less than the tests do: no DVC, no linters.
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/.uv
	$(call install,-c constraints.txt editables -e '.[train$(comma)serve]')
	@touch $@

# What the workflow's release jobs need: bucket and model, no training.
$(VENV)/.ship: pyproject.toml constraints.txt | $(VENV)/.uv
	$(call install,-c constraints.txt editables -e '.[gcs$(comma)photos$(comma)serve]')
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt requirements.txt | $(VENV)/.uv
	$(call install,-r requirements.txt)
	@touch $@ $(VENV)/.run

comma := ,
install = $(BIN)/uv pip install -q --python $(BIN)/python $(1) \
	  || { echo "uv could not install (an index of your own? set UV_INDEX_URL); trying pip"; $(BIN)/pip install -q $(1); }
