"""Validation of the training config, and the number of steps."""

import pytest
from pydantic import ValidationError

from lnt_core.config import AlignConfig, TrainConfig, TuneConfig


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epochs": 1, "max_steps": 2}, "give `epochs` or `max_steps`, not both"),
        (
            {"checkpoint_every_steps": 50, "checkpoint_every_s": 600},
            "give `checkpoint_every_steps` or `checkpoint_every_s`, not both",
        ),
        ({"batch_size": 10, "micro_batch_size": 4}, "must be a multiple of"),
        ({"batch_size": True}, "`batch_size` is true, but must not be a boolean"),
        ({"warmup_ratio": float("nan")}, "finite number"),
        ({"warmup_raito": 0.1}, "Extra inputs are not permitted"),
    ],
)
def test_training_refuses(values, told) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainConfig.model_validate(values)


def test_a_micro_batch_to_be_found_is_no_number_until_it_is_found() -> None:
    train = TuneConfig(micro_batch_size="auto")
    assert train.model_dump(mode="json")["micro_batch_size"] == "auto"
    with pytest.raises(ValueError, match="still 'auto'"):
        train.micro_batch  # noqa: B018  reading it is what raises
    assert TuneConfig(micro_batch_size="16").micro_batch == 16


@pytest.mark.parametrize(
    ("stage", "value", "told"),
    [
        (TuneConfig, "atuo", "must be `auto` or a whole number of at least 1"),
        (TuneConfig, 0, "greater than or equal to 1"),
        (TuneConfig, None, "valid integer"),
        (AlignConfig, "auto", r"must be a whole number: `auto` is for stage 2 \(`train`\)"),
        (AlignConfig, 0, "greater than or equal to 1"),
    ],
)
def test_a_micro_batch_to_be_found_is_called_auto_and_is_of_stage_2(stage, value, told) -> None:
    with pytest.raises(ValidationError, match=told):
        stage(micro_batch_size=value)


def test_checkpointing_to_be_decided_is_no_boolean_until_it_is_decided() -> None:
    train = TuneConfig()
    assert train.model_dump(mode="json")["gradient_checkpointing"] == "auto"
    assert not train.is_settled
    with pytest.raises(ValueError, match="still 'auto'"):
        train.checkpointing  # noqa: B018  reading it is what raises
    for given, on in ((True, True), (False, False), ("true", True)):
        train = TuneConfig(gradient_checkpointing=given)
        assert train.checkpointing is on
        assert train.is_settled
    assert not TuneConfig(gradient_checkpointing=True, micro_batch_size="auto").is_settled
    assert AlignConfig().checkpointing is True


@pytest.mark.parametrize(
    ("stage", "value", "told"),
    [
        (TuneConfig, "atuo", "must be `true`, `false` or `auto`"),
        (TuneConfig, 2, "must be `true`, `false` or `auto`"),
        (TuneConfig, None, "must be `true`, `false` or `auto`"),
        (AlignConfig, "auto", r"must be `true` or `false`: `auto` is for stage 2 \(`train`\) only"),
    ],
)
def test_checkpointing_to_be_decided_is_called_auto_and_is_of_stage_2(stage, value, told) -> None:
    with pytest.raises(ValidationError, match=told):
        stage(gradient_checkpointing=value)


def test_an_epoch_leaves_out_a_batch_that_it_does_not_fill() -> None:
    assert TrainConfig(batch_size=128).num_steps(1000) == 7
    assert TrainConfig(batch_size=128, epochs=1).num_steps(10) == 1
    assert TrainConfig(batch_size=128, max_steps=3).num_steps(1000) == 3
