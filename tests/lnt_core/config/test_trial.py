"""The config of a trial."""

import subprocess
import sys

import pytest


def test_a_micro_batch_that_was_found_takes_the_place_of_auto(trial_config) -> None:
    config = trial_config(train={"micro_batch_size": "auto"})
    assert config.with_micro_batch(8).train.micro_batch == 8


@pytest.mark.heavy
def test_reading_a_config_does_not_import_torch() -> None:
    code = "import sys, lnt_core.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
