"""The config of a trial."""

import subprocess
import sys

import pytest
from pydantic import ValidationError


def test_a_micro_batch_that_was_found_takes_the_place_of_auto(trial_config) -> None:
    config = trial_config(train={"micro_batch_size": "auto"})
    assert config.with_micro_batch(8).train.micro_batch == 8


def test_checkpointing_that_was_found_takes_the_place_of_auto(trial_config) -> None:
    config = trial_config(train={})
    assert config.train.gradient_checkpointing == "auto"
    assert config.with_checkpointing(on=True).train.checkpointing is True


def test_a_strategy_that_allows_no_checkpointing_refuses_only_what_asks_for_it(
    trial_config,
) -> None:
    prefix = {"strategy": {"name": "prefix", "num_tokens": 2}}
    for asked in ("auto", False):
        trial_config(**prefix, train={"gradient_checkpointing": asked})
    with pytest.raises(ValidationError, match="does not work with gradient checkpointing"):
        trial_config(**prefix, train={"gradient_checkpointing": True})


@pytest.mark.heavy
def test_reading_a_config_does_not_import_torch() -> None:
    code = "import sys, lnt_core.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
