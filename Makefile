# `make sweep` and `make test` each set up everything they need, on a machine with Python 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sweep test test-slow slow-trials slow-sweeps check docs bench bench-gpu clean

sweep: .venv/.done
	$(BIN)/lnt run demo

# Two processes: a test file is one's or the other's.
test: .venv/.done check
	$(BIN)/pytest -n 2 --dist loadfile

# Whole sweeps, faults and the browser (needs Chromium; .ci/run installs it).
# The two halves may run at once: `make -j2 test-slow`.
test-slow: slow-trials slow-sweeps

# More threads than cores: one that waits for another must not keep it from its core.
slow-trials slow-sweeps: export OMP_WAIT_POLICY = passive

slow-trials: .venv/.done
	$(BIN)/pytest -v -m slow tests/lnt_core tests/benchmarks

slow-sweeps: .venv/.done
	$(BIN)/pytest -v -m slow --ignore=tests/lnt_core --ignore=tests/benchmarks

check: .venv/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The generated parts of README.md and docs/, from configs, commands, metrics and tags.
docs: .venv/.done
	$(BIN)/python docs/generate.py

# Ratios against what a user would do instead; half an hour on 2 cores. Dated results: docs/LOG.md.
bench: .venv/.done
	$(BIN)/python -m tests.benchmarks.warm_workers
	$(BIN)/python -m tests.benchmarks.driver_overhead
	$(BIN)/python -m tests.benchmarks.tracking_outage

# A step of a 7B-shaped model against transformers and PEFT alone, where there is a GPU.
bench-gpu: .venv/.done
	$(BIN)/python -m tests.benchmarks.gpu_step

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
