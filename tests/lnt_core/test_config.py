"""What a trial's config refuses, and what it fills in."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from lnt_core.config import AlignConfig, ModelConfig, SelectConfig, TrainConfig, TuneConfig

FILES = {"task": "flickr30k", "annotations": "a.json", "images": "i"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epochs": 1, "max_steps": 2}, "give `epochs` or `max_steps`, not both"),
        ({"batch_size": 10, "micro_batch_size": 4}, "must be a multiple of"),
        ({"batch_size": True}, "`batch_size` is true, but must not be a boolean"),
        ({"warmup_ratio": float("nan")}, "finite number"),
        ({"warmup_raito": 0.1}, "Extra inputs are not permitted"),
    ],
)
def test_training_refuses(values, told) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainConfig.model_validate(values)


class TestAMicroBatchThatIsToBeFound:
    def test_is_a_word_in_the_file_and_no_number_until_it_is_found(self, trial_config) -> None:
        train = TuneConfig(micro_batch_size="auto")
        assert train.model_dump(mode="json")["micro_batch_size"] == "auto"
        with pytest.raises(ValueError, match="still 'auto'"):
            train.micro_batch  # noqa: B018  reading it is what raises
        config = trial_config(train=train.model_dump())
        assert config.with_micro_batch(8).train.micro_batch == 8
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
    def test_is_called_auto_and_is_of_stage_2(self, stage, value, told) -> None:
        with pytest.raises(ValidationError, match=told):
            stage(micro_batch_size=value)


@pytest.mark.parametrize(
    ("values", "style"),
    [
        ({"tiny": True}, "plain"),
        ({"checkpoint": "x"}, "chat_template"),
        ({"language_model": "x", "vision_tower": "y"}, "vicuna_v1"),
        ({"tiny": True, "conversation": "vicuna_v1"}, "vicuna_v1"),
    ],
)
def test_the_conversation_style_follows_the_kind_of_model(values, style) -> None:
    assert ModelConfig.model_validate(values).conversation == style


@pytest.mark.parametrize("values", [{}, {"tiny": True, "checkpoint": "x"}])
def test_a_model_is_of_exactly_one_kind(values) -> None:
    with pytest.raises(ValidationError, match="give exactly one of"):
        ModelConfig.model_validate(values)


def test_the_test_split_is_reported_unless_it_chooses() -> None:
    assert SelectConfig.model_validate(FILES).report_split == "test"
    assert SelectConfig.model_validate(FILES | {"split": "test"}).report_split is None


@pytest.mark.parametrize(
    ("module", "absent"),
    [("lnt_core.config", ["torch"]), ("lnt_core.trial", ["ray", "mlflow", "optuna"])],
)
def test_importing_it_leaves_out(module, absent) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
