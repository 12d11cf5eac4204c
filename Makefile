# `make` lists the targets. Everything runs in .venv, which the locks fill.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# TensorFlow's CUDA packages where there is an NVIDIA driver, or with GPU=1; GPU=0 does without
GPU ?= $(if $(shell command -v nvidia-smi 2>/dev/null),1,0)
RUN_LOCK := $(if $(filter 1,$(GPU)),requirements-gpu.lock,requirements.lock)

.PHONY: help demo test check format reproduce verify review plots speed faults lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed-$(RUN_LOCK)  ## the whole pipeline on small synthetic data, in minutes, in a temporary copy
	@python demo.py

test: $(VENV)/.installed-requirements-dev.lock  ## the tests
	@python -m pytest

check: $(VENV)/.installed-requirements-dev.lock  ## lint, format, types, and whether the locks hold what pyproject.toml asks for
	@python locks.py
	@ruff check .
	@ruff format --check .
	@mypy

format: $(VENV)/.installed-requirements-dev.lock  ## format the code, mend what lint can mend
	@ruff check --fix .
	@ruff format .

reproduce: $(VENV)/.installed-$(RUN_LOCK)  ## the real thing, `dvc repro`: hours a network on a GPU
	@dvc repro

verify: $(VENV)/.installed-$(RUN_LOCK)  ## evaluate the checkpoints anew and compare with metrics/
	@python verify.py

BASE ?= main
REV ?= workspace
review: $(VENV)/.installed-$(RUN_LOCK)  ## what a change did to the results, as Markdown: BASE=main REV=workspace, any two commits; FAIL_ON="worse doubtful"
	@python review.py "$(BASE)" "$(REV)" $(foreach word,$(FAIL_ON),--fail-on "$(word)")

plots: $(VENV)/.installed-$(RUN_LOCK)  ## DVC's plots as SVG, to metrics/pictures
	@python plots.py

PARTS ?=
speed: $(VENV)/.installed-requirements-dev.lock  ## our training beside other ways, an hour: PARTS="ways depths overheads agreement"
	@python -c "import torch" 2>/dev/null || python -m pip install --quiet --require-hashes -r requirements-speed.lock || \
		echo "PyTorch is not installed, so the tables go without it; its CPU build is on PyTorch's own index, see speed/README.md"
	@python -m speed $(PARTS)

faults: $(VENV)/.installed-requirements-dev.lock  ## kill real trainings and dvc, give bad inputs: some ten minutes; PARTS="kills jax inputs"
	@python -m faults $(PARTS)

lock: $(VENV)/.installed-requirements-dev.lock  ## pin anew what pyproject.toml asks for
	@uv pip compile pyproject.toml $(UV) -o requirements.lock
	@uv pip compile pyproject.toml $(UV) -c requirements.lock --extra gpu -o requirements-gpu.lock
	@uv pip compile pyproject.toml $(UV) -c requirements.lock --extra dev -o requirements-dev.lock
	@uv pip compile pyproject.toml $(filter-out --universal,$(UV)) $(CPU_TORCH) -c requirements.lock --extra speed -o requirements-speed.lock
UV := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
CPU_TORCH := --python-platform x86_64-unknown-linux-gnu --extra-index-url https://download.pytorch.org/whl/cpu --index-strategy unsafe-best-match

clean:  ## remove .venv, the states of unfinished trainings and the caches of the tools; models, data and results stay
	rm -rf $(VENV) .resume .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%.lock: %.lock | $(BIN)/python
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@python plots.py --scripts $(VENV)/vega.js
	@touch $@
