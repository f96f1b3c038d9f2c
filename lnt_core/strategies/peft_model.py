"""Wraps a model with PEFT, in the same way for every strategy that PEFT implements."""

import contextlib
import copy
import inspect
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from lnt_core.errors import ConfigError
from lnt_core.strategies.base import train_parts

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

    from lnt_core.models.roles import Roles

Targets = Literal["linear", "attn", "attn_qv", "mlp"]
"""Linear layers of each block: all, those of the attention, its q and v, or those of the MLP."""


def target_names(roles: "Roles", targets: Targets) -> list[str]:
    """Full names of the targets, so that PEFT matches nothing in vision tower or connector."""
    wanted = {"attn_qv": ("attn_q", "attn_v")}.get(targets, (targets,))
    return list(roles.require(*wanted))


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Context without those warnings of PEFT that do not apply here."""
    with warnings.catch_warnings():
        for expected in (
            "Model has `tie_word_embeddings=True`",  # `wrap` keeps the tie
            "Unsupported layer type",  # RMSNorm works like LayerNorm
            "`is_gradient_checkpointing` is deprecated",
            "The following rank_pattern keys did not match",  # AdaLoRA's keys are not LoRA's
        ):
            warnings.filterwarnings("ignore", message=expected)
        yield


def _without_raw(model: "nn.Module", config: "PeftConfig") -> list[str]:
    """Take the raw parameters out of ``modules_to_save``; returns their names."""
    wanted = getattr(config, "modules_to_save", None) or ()
    parameters = dict(model.named_parameters())
    raw = [name for name in wanted if name in parameters]
    if raw:
        config.modules_to_save = [name for name in wanted if name not in parameters]
    return raw


def in_place(tuned: "nn.Module") -> "dict[str, nn.Parameter]":
    """The base model's own parameters that a PEFT model trains, by their names in it.

    PEFT's own have the adapter's name in theirs.
    """
    return {
        name: parameter
        for name, parameter in tuned.named_parameters()
        if parameter.requires_grad and "default" not in name.split(".")
    }


def check_takes_prompts(model: "nn.Module", roles: "Roles", strategy: str) -> None:
    """Check that trained tokens before the input leave images as the model knows them.

    Raises:
        ConfigError: The model attends to images, or counts their positions, by types of tokens, of
            which PEFT drops those of the input and has none for the trained tokens.
    """
    if roles.vision is None:
        return
    inner = getattr(model, "base_model", model)
    taken = inspect.signature(type(inner).forward).parameters
    types = [name for name in ("token_type_ids", "mm_token_type_ids") if name in taken]
    if types:
        raise ConfigError(
            f"strategy {strategy!r} cannot tune {type(model).__name__}, which places images by "
            f"`{types[0]}`: PEFT passes none with trained tokens before the input. Choose another "
            "strategy"
        )


def wrap(model: "nn.Module", config: "PeftConfig", roles: "Roles") -> "nn.Module":
    """Wrap ``model``, keeping embedding and head tied and the targets' names in full.

    PEFT copies each of ``modules_to_save`` separately, which would untie embedding and head. It
    also shortens 20 or more target names to suffixes and saves those. They are chosen on a trial's
    copy of the model, which has no vision tower, and might match modules of the tower when the
    adapter is loaded into the whole model. Raw parameters, of which PEFT makes no copies, train in
    place.
    """
    from peft import get_peft_model

    raw = _without_raw(model, config)
    embedding, head = (model.get_submodule(name) for name in (roles.embedding, roles.head))
    tied = embedding.weight is head.weight
    targets = copy.copy(getattr(config, "target_modules", None))
    with quiet_peft():
        wrapped = get_peft_model(model, config)
    if targets is not None:
        wrapped.peft_config["default"].target_modules = targets
    if tied and getattr(config, "modules_to_save", None):
        copies = [
            wrapped.get_base_model().get_submodule(name).modules_to_save["default"]
            for name in (roles.embedding, roles.head)
        ]
        copies[1].weight = copies[0].weight
    train_parts(wrapped.get_base_model(), raw)
    tuned: nn.Module = wrapped
    return tuned
