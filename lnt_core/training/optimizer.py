"""AdamW and gradient checkpointing, shared by the training and the prediction of its memory."""

import warnings
from typing import Any

import torch
from torch import nn

from lnt_core.config import RateRatio, TrainConfig, TuneConfig
from lnt_core.models.parts import inside
from lnt_core.models.roles import find_roles
from lnt_core.strategies.base import base_of, in_base


def rate_groups(
    model: nn.Module, train: TrainConfig, learning_rate: float
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """The trainable parameters, as AdamW takes them: in groups if their rates differ.

    Args:
        model: With a strategy applied.
        train: Its `rate_ratio`, which stage 1 lacks.
        learning_rate: The trial's peak learning rate.

    Returns:
        The parameters; or a group for each rate, the trial's own first.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    ratios = train.rate_ratio if isinstance(train, TuneConfig) else RateRatio()
    if ratios == RateRatio():
        return list(trained.values())
    roles = find_roles(base_of(model))
    ratio_of = dict.fromkeys(roles.connector, ratios.connector)
    ratio_of |= dict.fromkeys((roles.embedding, roles.head), ratios.embedding)
    by_ratio: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in trained.items():
        own = (ratio for part, ratio in ratio_of.items() if inside(in_base(name), part))
        by_ratio.setdefault(next(own, 1.0), []).append(parameter)
    return [
        {"params": parameters, "lr": learning_rate * ratio}
        for ratio, parameters in by_ratio.items()
        if parameters
    ]


def adamw(
    parameters: list[nn.Parameter] | list[dict[str, Any]],
    train: TrainConfig,
    *,
    on_gpu: bool,
    learning_rate: float | torch.Tensor = 1e-3,
) -> torch.optim.AdamW:
    """AdamW of parameters, or of groups of them with rates of their own.

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
