"""The benchmark of a step runs, on its tiny shape; what it measures on a GPU is not tested here."""

import subprocess
import sys

import pytest
import torch

from tests.benchmarks.gpu_step import STRATEGIES

pytestmark = pytest.mark.heavy

PROGRAM = [sys.executable, "-m", "tests.benchmarks.gpu_step"]


@pytest.mark.sweep
def test_each_way_is_measured_once() -> None:
    done = subprocess.run(
        [*PROGRAM, "--tiny", "--micro-batch", "2", "--tokens", "64"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    ours = [row for row in rows if "lnt" in row[2:3]]
    measured = {tuple(row[:3]): float(row[3].replace(",", "")) for row in ours}
    assert all(float(row[-1]) > 0 for row in ours)  # the predicted peak; a CPU's is not measured
    plain = {tuple(row[:3]) for row in rows if row[2:3] == ["plain"]}
    expected = {(name, kind) for name in STRATEGIES for kind in ("fp32", "bf16")}
    assert {key[:2] for key in measured} == expected == {key[:2] for key in plain}
    assert all(tokens_per_s > 0 for tokens_per_s in measured.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run(PROGRAM, capture_output=True, text=True)
    assert done.returncode == 1
    assert "this machine has none" in done.stderr
