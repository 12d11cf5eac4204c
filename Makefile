# `make` lists the targets. Everything runs in .venv, which the locks fill.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# TensorFlow's CUDA packages where there is an NVIDIA driver, or with GPU=1; GPU=0 does without
GPU ?= $(if $(shell command -v nvidia-smi 2>/dev/null),1,0)
RUN := $(if $(filter 1,$(GPU)),gpu,run)

.PHONY: help demo test check format reproduce verify review plots speed faults lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed-$(RUN)  ## the whole pipeline on small synthetic data, in minutes, in a temporary copy
	@python -m scripts.demo

test: $(VENV)/.installed-dev  ## the tests
	@python -m pytest

check: $(VENV)/.installed-dev  ## lint, format, types, and whether the locks hold what pyproject.toml asks for
	@python -m scripts.locks
	@ruff check .
	@ruff format --check .
	@mypy

format: $(VENV)/.installed-dev  ## format the code, mend what lint can mend
	@ruff check --fix .
	@ruff format .

reproduce: $(VENV)/.installed-$(RUN)  ## the real thing, `dvc repro`: hours a network on a GPU
	@dvc repro

verify: $(VENV)/.installed-$(RUN)  ## evaluate the checkpoints anew and compare with metrics/
	@python -m scripts.verify

BASE ?= main
REV ?= workspace
review: $(VENV)/.installed-$(RUN)  ## what a change did to the results, as Markdown: BASE=main REV=workspace, any two commits; FAIL_ON="worse doubtful"
	@python -m scripts.review "$(BASE)" "$(REV)" $(foreach word,$(FAIL_ON),--fail-on "$(word)")

plots: $(VENV)/.installed-$(RUN)  ## DVC's plots as SVG, to metrics/pictures
	@python -m scripts.plots

PARTS ?=
speed: $(VENV)/.installed-dev  ## our training beside other ways, an hour: PARTS="ways depths overheads agreement"
	@python -c "import torch" 2>/dev/null || python -m pip install --quiet --require-hashes -r requirements/speed.lock || \
		echo "PyTorch is not installed, so the tables go without it; its CPU build is on PyTorch's own index, see speed/README.md"
	@python -m speed $(PARTS)

faults: $(VENV)/.installed-dev  ## kill real trainings and dvc, give bad inputs: some ten minutes; PARTS="kills jax inputs"
	@python -m faults $(PARTS)

lock: $(VENV)/.installed-dev  ## pin anew what pyproject.toml asks for
	@uv pip compile pyproject.toml $(UV) -o requirements/run.lock
	@uv pip compile pyproject.toml $(UV) -c requirements/run.lock --extra gpu -o requirements/gpu.lock
	@uv pip compile pyproject.toml $(UV) -c requirements/run.lock --extra dev -o requirements/dev.lock
	@uv pip compile pyproject.toml $(filter-out --universal,$(UV)) $(CPU_TORCH) -c requirements/run.lock --extra speed -o requirements/speed.lock
UV := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
CPU_TORCH := --python-platform x86_64-unknown-linux-gnu --extra-index-url https://download.pytorch.org/whl/cpu --index-strategy unsafe-best-match

clean:  ## remove .venv, the states of unfinished trainings and the caches of the tools; models, data and results stay
	rm -rf $(VENV) .resume .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: requirements/%.lock | $(BIN)/python
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@python -m scripts.plots --scripts $(VENV)/vega.js
	@touch $@
