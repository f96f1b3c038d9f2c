"""The config of a trial."""

import subprocess
import sys

import pytest
from pydantic import ValidationError


def test_a_micro_batch_that_was_found_takes_the_place_of_auto(trial_config) -> None:
    config = trial_config(train={"micro_batch_size": "auto"})
    assert config.with_micro_batch(8).train.micro_batch == 8


@pytest.mark.parametrize(
    ("given", "by"),
    [
        ({"micro_batch_size": "auto"}, "tokens"),
        ({"micro_batch_size": "auto", "micro_batch_by": "samples"}, "samples"),
        ({"micro_batch_size": 4}, None),
        ({"micro_batch_size": 4, "micro_batch_by": "tokens"}, "tokens"),
    ],
)
def test_memory_is_filled_by_tokens_where_auto_decides_unless_the_config_says(
    trial_config, given, by
) -> None:
    config = trial_config(train={"batch_size": 4} | given)
    found = config.with_micro_batch(2)
    assert found.train.micro_batch_by == by
    assert found.with_micro_batch(1).train.micro_batch_by == by  # half, out of memory


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
