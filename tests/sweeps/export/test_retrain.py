"""In how many processes `lnt train` trains, and what it takes for the result; see tests/e2e."""

import sys

import pytest

from lnt_core.trial import TrialResult
from sweeps.export.retrain import train_best
from sweeps.resources import ResourcesConfig
from tests.sweeps.cli.test_export import best_of

PRINTS = """#!/bin/sh
case "$*" in *--nproc-per-node=2*) ;; *) exit 1 ;; esac
echo '1 loss 0.5'
echo '{"told": "by a library"}'
echo '{"status": "finished", "steps": 2, "metrics": {"select/cider": 3.0}}'
echo 'the end'
"""


@pytest.mark.heavy
def test_two_workers_are_two_processes_and_the_last_json_is_the_result(
    trial_config, tmp_path, monkeypatch
) -> None:
    python = tmp_path / "python"
    python.write_text(PRINTS)
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    best = best_of(trial_config()).model_copy(
        update={"resources": ResourcesConfig(workers_per_trial=2)}
    )
    trained = train_best(best, tmp_path / "out", tmp_path / "cache")
    assert trained == TrialResult("finished", 2, {"select/cider": 3.0})
