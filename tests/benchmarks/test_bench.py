"""What `make bench` runs, each in its shortest form: it runs and prints its figures, which here say
nothing, because the trials are too few and too small."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.against_trainer import ROWS

MAKEFILE = Path(__file__).parents[2] / "Makefile"
SHORTEST = {
    "driver_overhead": ["--trials", "2"],
    "fixed_cost": ["--trials", "2", "--rounds", "1"],
    "tracking_outage": ["--trials", "2", "--rounds", "1", "--modes", "500"],
}
FIGURES = {
    "driver_overhead": {"side", "trials", "wall_s", "driver_cpu_s", "driver_peak_mib"},
    "fixed_cost": {"side", "wall_s", "trial_s", "fixed_s", "cpu_s", "until_first_result_s"},
    "tracking_outage": {"pass_s_per_trial", "500_s_per_trial", "500_to_pass"},
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHORTEST)
def test_it_runs_and_prints_its_figures(name, micro, cache) -> None:
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *SHORTEST[name]]
    if name != "driver_overhead":  # whose trials do nothing
        train = micro["train"] | {"max_steps": 4}
        same = {key: micro[key] for key in ("model", "data", "align")} | {"train": train}
        command += ["--cache", str(cache), "--with", json.dumps(same)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert FIGURES[name] <= set().union(*found)


@pytest.mark.sweep
def test_both_sides_train_as_many_parameters_in_as_many_trials(micro, cache) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.against_trainer", "--cache", str(cache)]
    command += ["--only", "llava", "--scale", "0.01"]
    command += ["--with", json.dumps({key: micro[key] for key in ("model", "align")})]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("llava: 3 trials of 2 steps")
    assert {line.split(" | ")[0] for line in done.stdout.splitlines()} >= {
        f"| {label}" for label in ROWS.values()
    }


def test_it_is_all_that_make_bench_runs() -> None:
    recipe = MAKEFILE.read_text().partition("\nbench:")[2].partition("\n\n")[0]
    run = set(re.findall(r"tests\.benchmarks\.(\w+)", recipe))
    assert run == {"against_trainer", *SHORTEST}  # whose figures are a table, tested above
    assert set(SHORTEST) == set(FIGURES)
