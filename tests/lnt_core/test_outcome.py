"""What an ended trial has left, and what of it is still good."""

import random

import pytest

from lnt_core.files import write_json, write_text
from lnt_core.outcome import (
    ENDED,
    TrialResult,
    ended,
    has_weights,
    left_in,
    lost_files,
    write_result,
)
from tests.damage import WAYS, set_aside


@pytest.fixture
def out(tmp_path, trial_config):
    """The folder of an ended trial."""
    write_text(tmp_path / "captions_select.jsonl", '{"caption": "a dog"}\n')
    write_json(tmp_path / "analysis.json", {"layer_similarity": [[1.0]]})
    write_text(tmp_path / "weights" / "delta.safetensors", "tensors")
    write_text(tmp_path / "layers.png", "drawn later")
    result = TrialResult("finished", 4, {"select/cider": 0.1 + 0.2}, left_in(tmp_path))
    write_result(result, trial_config(), tmp_path)
    return tmp_path


def test_it_is_read_back_with_all_its_digits(out, trial_config) -> None:
    found = ended(trial_config(), out)
    assert found.metrics == {"select/cider": 0.1 + 0.2}
    assert list(found.files) == [
        "analysis.json",
        "captions_select.jsonl",
        "weights/delta.safetensors",
    ]
    for ran in (trial_config().with_micro_batch(4), trial_config().with_checkpointing(on=True)):
        assert ended(ran, out) == found  # as memory allowed
    assert ended(trial_config(learning_rate=1e-5), out) is None  # left by another trial


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [ENDED, "captions_select.jsonl", "analysis.json"])
def test_with_any_of_it_damaged_the_trial_has_not_ended(name, way, out, trial_config) -> None:
    WAYS[way](out / name, random.Random(4))
    assert ended(trial_config(), out) is None
    assert set_aside(out) == [f"{name}.damaged-1"]


@pytest.mark.parametrize("way", WAYS)
def test_damaged_weights_are_as_if_deleted(way, out, trial_config) -> None:
    WAYS[way](out / "weights" / "delta.safetensors", random.Random(4))
    found = ended(trial_config(), out)
    assert found is not None
    assert not has_weights(out, found.files)
    assert set_aside(out) == ["weights.damaged-1"]


def test_a_file_that_is_gone_is_lost(out, trial_config) -> None:
    files = ended(trial_config(), out).files
    assert has_weights(out, files)
    assert lost_files(out, files) == []
    (out / "analysis.json").unlink()
    assert lost_files(out, files) == ["analysis.json"]
