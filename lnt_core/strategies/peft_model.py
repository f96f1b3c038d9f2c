"""Wraps a model with PEFT, in the same way for every strategy that PEFT implements."""

import contextlib
import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

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


def wrap(model: "nn.Module", config: "PeftConfig", roles: "Roles") -> "nn.Module":
    """Wrap ``model``, keeping embedding and head tied and the targets' names in full.

    PEFT copies each of ``modules_to_save`` separately, which would untie embedding and head. It
    also shortens 20 or more target names to suffixes and saves those. They are chosen on a trial's
    copy of the model, which has no vision tower, and might match modules of the tower when the
    adapter is loaded into the whole model.
    """
    from peft import get_peft_model

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
    tuned: nn.Module = wrapped
    return tuned
