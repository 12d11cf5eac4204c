# `make` lists the targets. Everything runs in .venv, which is installed from requirements/.
# GNU make 3.81, that of macOS, looks up commands on the caller's PATH unless a shell runs them
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# where it is 1, pip refuses to install into .venv
export PIP_USER := 0
# where it is set, `python -m scripts.demo` does not find scripts/
unexport PYTHONSAFEPATH
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard $(VENV)/pyvenv.cfg),)
ifneq ($(MAKECMDGOALS),clean)
ASKED := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(shell grep -cE '^version(_info)? *= *$(ASKED)\.' $(VENV)/pyvenv.cfg),0)
$(error $(VENV) has another Python than PYTHON=$(PYTHON); `make clean` removes it)
endif
endif
endif
endif
# before this line, since GNU make 4.4 hands it to $(shell), PYTHON is that of the caller
export PATH := $(abspath $(BIN)):$(PATH)
# where a system upgrade has replaced the Python of .venv, or .venv has moved, its packages are
# installed again
ifneq ($(wildcard $(VENV)/.installed-*),)
$(shell $(BIN)/pip --version >/dev/null 2>&1 || rm -f $(VENV)/.installed-* $(BIN)/python)
endif
# GPU=1 installs TensorFlow's CUDA packages, GPU=0 does not; by default an NVIDIA driver decides,
# looked for as in resnet/device.py
NVIDIA := /dev/nvidia0 /proc/driver/nvidia/version /usr/lib/wsl/lib/libcuda.so.1
GPU ?= $(if $(shell command -v nvidia-smi 2>/dev/null)$(wildcard $(NVIDIA)),1,0)
RUN := $(if $(filter 1,$(GPU)),gpu,run)

# CLUSTER=local, or HOST:PORT of a Ray cluster, trains on many GPUs or machines: cluster/README.md
CLUSTER ?=
RAY := $(if $(CLUSTER),$(VENV)/.installed-cluster)

# the trained weights in checkpoints/ that dvc.lock asks for and models/ or the cache lacks
PULL = python -m scripts.checkpoints pull

.PHONY: help demo test check format reproduce table retrain verify publish same-bits review \
	simulate plots experiments merge speed faults cluster-test lock clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-$(RUN)  ## run the pipeline on synthetic images in a copy: KEEP=../demo
	@python -m scripts.demo $(and $(KEEP),--keep "$(KEEP)")

test: $(VENV)/.installed-dev  ## run the tests
	@python -m pytest

check: $(VENV)/.installed-dev  ## lint, formatting, types, the locks, and what is listed
	@python -m scripts.locks
	@python -m scripts.listed
	@ruff check .
	@ruff format --check .
	@mypy

format: $(VENV)/.installed-dev  ## format the code and apply automatic fixes
	@ruff check --fix .
	@ruff format .

reproduce: $(VENV)/.installed-$(RUN) $(RAY)  ## bring all results up to date: CLUSTER=local
	@$(PULL)
	@$(if $(CLUSTER),python -m cluster $(CLUSTER) reproduce,dvc repro)

table: $(VENV)/.installed-$(RUN) $(RAY)  ## train the whole table: VARIANTS="model ..." SEEDS="0 1"
	@$(PULL)
	@$(if $(CLUSTER),python -m cluster $(CLUSTER) table,python -m scripts.table) $(VARIANTS) \
		$(and $(SEEDS),--seeds $(SEEDS))

retrain: $(VENV)/.installed-$(RUN)  ## train again and compare: VARIANT=ResNet20v1-short SEED=0
	@python -m scripts.retrain $(VARIANT) $(SEED) $(and $(EPOCHS),--epochs $(EPOCHS))

verify: $(VENV)/.installed-$(RUN)  ## evaluate the checkpoints again and compare with metrics/
	@$(PULL)
	@dvc repro preprocess
	@python -m scripts.verify

publish: $(VENV)/.installed-$(RUN)  ## put weights in checkpoints/ and results in README.md
	@$(PULL)
	@python -m scripts.checkpoints publish
	@python -m scripts.pages

same-bits: BASE := HEAD
same-bits: $(VENV)/.installed-$(RUN)  ## show that an edit changes no bit of any result: BASE=HEAD
	@$(PULL)
	@python -m scripts.same_bits $(BASE) $(VARIANTS)

BASE ?= main
REV ?= workspace
review: $(VENV)/.installed-$(RUN)  ## compare commits: BASE=main MARGIN=0.5 FAIL_ON="worse stale"
	@python -m scripts.review "$(BASE)" "$(REV)" $(and $(MARGIN),--margin "$(MARGIN)") \
		$(foreach word,$(FAIL_ON),--fail-on "$(word)")

simulate: $(VENV)/.installed-$(RUN)  ## simulate how often reviews are wrong: docs/statistics.md
	@python -m scripts.simulate

plots: $(VENV)/.installed-$(RUN)  ## draw the plots of BASE=main and REV=workspace side by side
	@python -m scripts.plots "$(BASE)" "$(REV)"

experiments: $(VENV)/.installed-$(RUN)  ## DVC's experiments in 120 columns
	@python -m scripts.experiments

merge: $(VENV)/.installed-$(RUN)  ## resolve `git merge` of two branches that trained variants
	@python -m scripts.merge

PARTS ?=
speed: $(VENV)/.installed-$(RUN) $(VENV)/.installed-dev  ## measure speed, 1 hour: PARTS="depths"
	@python -c "import torch" 2>/dev/null || \
		python -m pip install --quiet --require-hashes -r requirements/speed.lock || \
		echo "PyTorch is not installed, so only its row is empty; speed/README.md says where to find it"
	@python -m speed $(PARTS)

faults: $(VENV)/.installed-dev  ## kill runs, try bad inputs, 25 minutes: PARTS="kills jax inputs"
	@GPU=$${GPU:-0} python -m faults $(PARTS)

cluster-test: $(VENV)/.installed-dev $(VENV)/.installed-cluster  ## run the tests that need Ray
	@python -m pytest tests/cluster

UV := uv pip compile pyproject.toml --quiet $(and $(UPGRADE),--upgrade) --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
CPU_TORCH := --python-platform x86_64-unknown-linux-gnu --index-strategy unsafe-best-match \
	--extra-index-url https://download.pytorch.org/whl/cpu
lock: $(VENV)/.installed-dev  ## update the locks; UPGRADE=1 moves to the newest versions
	@$(UV) --universal -o requirements/run.lock
	@$(UV) --universal -c requirements/run.lock --extra gpu -o requirements/gpu.lock
	@$(UV) --universal -c requirements/run.lock --extra dev -o requirements/dev.lock
	@$(UV) --universal -c requirements/run.lock --extra cluster -o requirements/cluster.lock
	@$(UV) $(CPU_TORCH) -c requirements/run.lock --extra speed -o requirements/speed.lock

$(VENV)/.installed-cluster: | $(VENV)/.installed-$(RUN)  # Ray is added to what runs a stage

# du counts a file that has several names once: in data/ or models/, then not in DVC's cache
REMOVED := $(VENV) .mypy_cache .ruff_cache .pytest_cache
KEPT := .resume data models .dvc/cache
clean:  ## remove .venv and the caches of tools, and say what stays
	@du -sh $(REMOVED) 2>/dev/null | sed 's/^/removed /'
	@rm -rf $(REMOVED)
	@du -sh $(KEPT) 2>/dev/null | sed -e 's/^/kept    /' \
		-e '/resume$$/s/$$/     states of unfinished trainings; `rm -r .resume` removes them/' \
		-e '/data$$/s/$$/        CIFAR-10 and the arrays, also files that you put there by hand/' \
		-e '/models$$/s/$$/      trained weights/' \
		-e '/cache$$/s/$$/  what else DVC has; `dvc gc --workspace` removes what is not in use/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and \
		"Python 3.11 to 3.13 is needed: TensorFlow has no wheels for others. Try PYTHON=python3.12")'
	@rm -rf $(VENV)
	@echo "$(PYTHON) -m venv $(VENV)"
	@$(PYTHON) -m venv $(VENV) && $@ -m pip --version >/dev/null || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian, install python3-venv"; exit 1; }

$(VENV)/.installed-%: requirements/%.lock | $(BIN)/python
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@python -m scripts.plots --scripts $(VENV)/vega.js
	@$(PULL)
	@touch $@
