"""AdamW and gradient checkpointing, shared by the training and the prediction of its memory."""

import warnings

import torch
from torch import nn

from lnt_core.config import TrainConfig


def adamw(
    parameters: list[nn.Parameter],
    train: TrainConfig,
    *,
    on_gpu: bool,
    learning_rate: float | torch.Tensor = 1e-3,
) -> torch.optim.AdamW:
    """AdamW with one parameter group.

    Fused on a GPU, because ``foreach`` needs temporaries as large as the trained parameters: the
    prediction for a full finetune of a 7B model in fp32 is 127 GiB with it, 116 GiB fused.
    """
    return torch.optim.AdamW(
        parameters,
        lr=learning_rate,
        weight_decay=train.weight_decay,
        foreach=not on_gpu,
        fused=on_gpu,
    )


def set_checkpointing(model: nn.Module, *, on: bool) -> None:
    """Turn gradient checkpointing on or off."""
    with warnings.catch_warnings():  # transformers v6 renames these methods
        warnings.filterwarnings("ignore", message="`gradient_checkpointing_")
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        else:
            model.gradient_checkpointing_disable()  # type: ignore[operator]
