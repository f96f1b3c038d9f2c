"""AdamW and gradient checkpointing, as the loop uses them and as memory is predicted for them."""

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
    """AdamW over one group.

    Fused on a GPU: the other kind needs temporaries as large as all that trains, which is 25 GiB
    for a full finetune of 7B.
    """
    return torch.optim.AdamW(
        parameters,
        lr=learning_rate,
        weight_decay=train.weight_decay,
        foreach=not on_gpu,
        fused=on_gpu,
    )


def set_checkpointing(model: nn.Module, *, on: bool) -> None:
    """Recompute activations in the backward pass, or keep them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`gradient_checkpointing_")  # its name in v6
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        else:
            model.gradient_checkpointing_disable()  # type: ignore[operator]
