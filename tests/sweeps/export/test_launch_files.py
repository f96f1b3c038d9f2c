"""What an export says to other trainers is what ran, and they take it."""

import json

import pytest
import yaml

from lnt_core.training.optimizer import adamw
from sweeps.export.launch_files import (
    ACCELERATE,
    ARGUMENTS,
    DEEPSPEED,
    deepspeed,
    training_arguments,
    write_launch_files,
)

TRAIN = {
    "max_steps": 40,
    "batch_size": 12,
    "micro_batch_size": 4,
    "weight_decay": 0.1,
    "warmup_ratio": 0.11,
    "max_grad_norm": 0.7,
    "gradient_checkpointing": True,
}


@pytest.fixture
def config(trial_config):
    return trial_config(learning_rate=3e-4, seed=5, train=TRAIN)


def test_the_hf_trainer_takes_the_arguments_and_means_the_same(config, tmp_path) -> None:
    import torch
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path), **training_arguments(config, on_gpu=False)
    )
    assert arguments.train_batch_size * arguments.gradient_accumulation_steps == 12
    assert arguments.learning_rate == 3e-4
    assert arguments.get_warmup_steps(40) == 5  # ours: the ceiling of 4.4
    assert (arguments.max_steps, arguments.max_grad_norm, arguments.seed) == (40, 0.7, 5)
    assert arguments.gradient_checkpointing
    group = adamw([torch.nn.Parameter(torch.zeros(1))], config.train, on_gpu=False).defaults
    ours = (*group["betas"], group["eps"], group["weight_decay"])
    assert ours == (
        arguments.adam_beta1,
        arguments.adam_beta2,
        arguments.adam_epsilon,
        arguments.weight_decay,
    )


@pytest.mark.parametrize(
    ("precision", "on_gpu", "expected"),
    [("tf32", True, (False, True)), ("bf16", True, (True, False)), ("fp32", False, (False, None))],
)
def test_the_precision_is_the_trials(precision, on_gpu, expected, trial_config) -> None:
    arguments = training_arguments(
        trial_config(train=TRAIN | {"precision": precision}), on_gpu=on_gpu
    )
    assert (arguments["bf16"], arguments["tf32"]) == expected


def test_checkpointing_is_told_as_it_ran_and_not_before_that_is_known(trial_config) -> None:
    config = trial_config(train=TRAIN | {"gradient_checkpointing": "auto"})
    for on, how in ((True, {"use_reentrant": False}), (False, None)):
        arguments = training_arguments(config.with_checkpointing(on=on), on_gpu=False)
        assert arguments["gradient_checkpointing"] is on
        assert arguments["gradient_checkpointing_kwargs"] == how
    with pytest.raises(ValueError, match="still 'auto'"):
        training_arguments(config, on_gpu=False)


def test_epochs_are_told_where_steps_are_not(trial_config) -> None:
    epochs = {k: v for k, v in TRAIN.items() if k != "max_steps"} | {"epochs": 0.5}
    arguments = training_arguments(trial_config(train=epochs), on_gpu=False)
    assert arguments["num_train_epochs"] == 0.5
    assert "max_steps" not in arguments


@pytest.mark.parametrize(("written", "told"), [({"checkpoint_every_steps": 7}, 7), ({}, 0.1)])
def test_checkpoints_are_as_frequent_as_the_trials(written, told, trial_config) -> None:
    arguments = training_arguments(trial_config(train=TRAIN | written), on_gpu=False)
    assert arguments["save_steps"] == told


def test_deepspeed_takes_its_file_and_agrees_with_the_arguments(config) -> None:
    config_of = pytest.importorskip("deepspeed.runtime.config").DeepSpeedConfig
    parsed = config_of(deepspeed(config))
    assert parsed.train_batch_size == 12
    assert parsed.gradient_accumulation_steps == 3
    assert parsed.gradient_clipping == 0.7
    assert parsed.zero_optimization_stage == 2
    assert parsed.optimizer_params["lr"] == 3e-4


def test_the_trainer_finds_nothing_in_deepspeeds_file_to_disagree_with(config, tmp_path) -> None:
    pytest.importorskip("deepspeed")
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    arguments = TrainingArguments(
        output_dir=str(tmp_path), **training_arguments(config, on_gpu=False)
    )
    found = HfTrainerDeepSpeedConfig(deepspeed(config))
    found.trainer_config_process(arguments)
    found.trainer_config_finalize(arguments, None, 40)  # raises on a mismatch


@pytest.mark.parametrize(
    ("num_workers", "processes", "accumulated"),
    [(1, 1, 3), (3, 3, 1), (2, 1, 3)],  # 12 is no multiple of 2 x 4
)
def test_the_files_are_for_as_many_processes_as_divide_the_batch(
    num_workers, processes, accumulated, config, tmp_path
) -> None:
    write_launch_files(config, tmp_path, on_gpu=True, num_workers=num_workers)
    for name in (DEEPSPEED, ARGUMENTS):
        content = json.loads((tmp_path / name).read_text())
        assert content["gradient_accumulation_steps"] == accumulated
    assert yaml.safe_load((tmp_path / ACCELERATE).read_text())["num_processes"] == processes


@pytest.mark.parametrize(("on_gpu", "kind"), [(False, "NO"), (True, "DEEPSPEED")])
def test_accelerate_takes_its_file(on_gpu, kind, config, tmp_path, monkeypatch) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    write_launch_files(config, tmp_path, on_gpu=on_gpu)
    assert json.loads((tmp_path / ARGUMENTS).read_text())["seed"] == 5
    path = str(tmp_path / ACCELERATE)
    assert load_config_from_file(path).distributed_type == kind
    monkeypatch.chdir(tmp_path)
    asked = launch_command_parser().parse_args(["--config_file", path, "train.py"])
    launched, _, _ = _validate_launch_command(asked)
    assert launched.num_processes == 1
    assert bool(launched.use_deepspeed) == on_gpu
    named = yaml.safe_load((tmp_path / ACCELERATE).read_text()).get("deepspeed_config", {})
    assert named.get("deepspeed_config_file") == (DEEPSPEED if on_gpu else None)
