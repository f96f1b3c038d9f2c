"""A trial's settings as files for other trainers: DeepSpeed, Accelerate, the HF Trainer."""

import json
from pathlib import Path
from typing import Any

import yaml

from lnt_core.config import TrialConfig
from lnt_core.distributed.zero_config import stage_of, zero_section

DEEPSPEED, ACCELERATE, ARGUMENTS = "deepspeed.json", "accelerate.yaml", "training_arguments.json"
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Defaults of AdamW in torch, which :func:`lnt_core.training.optimizer.adamw` does not change."""
SAVED_SHARE = 0.1
"""Part of the steps between two checkpoints (assumed), where a trial's are written by time, for
which the Trainer has no setting."""
ZERO_STAGE = 2
"""ZeRO stage of the DeepSpeed file for a trial that was trained without DeepSpeed."""


def write_launch_files(
    config: TrialConfig, out: Path, *, on_gpu: bool, num_workers: int = 1
) -> None:
    """Write the three files, for as many processes as trained the trial.

    These trainers need a batch that is divisible among the processes. If it is not, the files are
    for one process.
    """
    if config.train.batch_size % (config.train.micro_batch * num_workers):
        num_workers = 1
    for name, content in (
        (DEEPSPEED, deepspeed(config, num_workers=num_workers)),
        (ARGUMENTS, training_arguments(config, on_gpu=on_gpu, num_workers=num_workers)),
    ):
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    launch = accelerate(config, on_gpu=on_gpu, num_workers=num_workers)
    text = yaml.safe_dump(launch, sort_keys=False)
    (out / ACCELERATE).write_text(text, encoding="utf-8")


def deepspeed(config: TrialConfig, *, num_workers: int = 1) -> dict[str, Any]:
    """The content of a DeepSpeed config file.

    ``train_batch_size`` is left out: DeepSpeed computes it as the product of the micro-batch size,
    the accumulation steps and the number of processes. The scheduler is left to the trainer,
    because DeepSpeed's cosine schedule does not end at 0.
    """
    train = config.train
    default = {"stage": ZERO_STAGE, "overlap_comm": True, "contiguous_gradients": True}
    return {
        "train_micro_batch_size_per_gpu": train.micro_batch,
        "gradient_accumulation_steps": _accumulation(config, num_workers),
        "gradient_clipping": train.max_grad_norm,
        "bf16": {"enabled": train.precision == "bf16"},
        "zero_optimization": zero_section(train.deepspeed) if train.deepspeed else default,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": config.learning_rate,
                "betas": list(BETAS),
                "eps": EPSILON,
                "weight_decay": train.weight_decay,
                "torch_adam": True,
            },
        },
    }


def accelerate(config: TrialConfig, *, on_gpu: bool, num_workers: int = 1) -> dict[str, Any]:
    """The content of a config file for ``accelerate launch``: with DeepSpeed on GPUs only."""
    content: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "DEEPSPEED" if on_gpu else "NO" if num_workers == 1 else "MULTI_CPU",
        "machine_rank": 0,
        "main_training_function": "main",
        "num_machines": 1,
        "num_processes": num_workers,
        "same_network": True,
        "use_cpu": not on_gpu,
        "debug": False,
    }
    if on_gpu:  # precision, batch sizes and clipping are in DeepSpeed's own file
        is_zero3 = stage_of(config.train.deepspeed) == 3
        return content | {
            "deepspeed_config": {"deepspeed_config_file": DEEPSPEED, "zero3_init_flag": is_zero3}
        }
    return content | {"mixed_precision": "bf16" if config.train.precision == "bf16" else "no"}


def training_arguments(
    config: TrialConfig, *, on_gpu: bool, num_workers: int = 1
) -> dict[str, Any]:
    """Fields of ``transformers.TrainingArguments``, without ``output_dir``."""
    train = config.train
    length = (
        {"max_steps": train.max_steps}
        if train.max_steps is not None
        else {"num_train_epochs": train.epochs or 1.0}
    )
    checkpointing = train.checkpointing
    return {
        "learning_rate": config.learning_rate,
        "per_device_train_batch_size": train.micro_batch,
        "gradient_accumulation_steps": _accumulation(config, num_workers),
        **length,
        "lr_scheduler_type": "cosine",
        "warmup_steps": train.warmup_ratio,  # a value below 1 is a share of all steps
        "optim": "adamw_torch_fused" if on_gpu else "adamw_torch",
        "weight_decay": train.weight_decay,
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "adam_epsilon": EPSILON,
        "max_grad_norm": train.max_grad_norm,
        "bf16": train.precision == "bf16",
        "tf32": train.precision == "tf32" if on_gpu else None,
        "gradient_checkpointing": checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if checkpointing else None,
        "seed": config.seed,
        "data_seed": config.seed,
        "dataloader_drop_last": True,
        "remove_unused_columns": False,
        "eval_strategy": "no",
        "save_steps": train.checkpoint_every_steps or SAVED_SHARE,
        "report_to": "none",
        "use_cpu": not on_gpu,
    }


def _accumulation(config: TrialConfig, num_workers: int) -> int:
    return config.train.batch_size // (config.train.micro_batch * num_workers)
