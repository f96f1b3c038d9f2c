"""Wrapping a model by PEFT, the same way for every strategy that PEFT has."""

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
"""Linear layers of each block: all, those of the attention, q and v alone, those of the MLP."""


def target_names(roles: "Roles", targets: Targets) -> list[str]:
    """Full names, so that PEFT hits neither the vision tower nor the connector."""
    wanted = {"attn_qv": ("attn_q", "attn_v")}.get(targets, (targets,))
    return list(roles.require(*wanted))


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Without the warnings of PEFT that say nothing of what we do with it."""
    with warnings.catch_warnings():
        for expected in (
            "Model has `tie_word_embeddings=True`",  # kept one tensor below
            "Unsupported layer type",  # RMSNorm is a norm
            "`is_gradient_checkpointing` is deprecated",
            "The following rank_pattern keys did not match",  # AdaLoRA's are of another kind
        ):
            warnings.filterwarnings("ignore", message=expected)
        yield


def wrap(model: "nn.Module", config: "PeftConfig", roles: "Roles") -> "nn.Module":
    """Wrap ``model``, and keep embedding and head one tensor where the base ties them.

    PEFT copies each of ``modules_to_save`` on its own, which would part a tied pair. Twenty and
    more targets it shortens to ends of names, which it saves: in a trial's copy, which has no
    vision tower, ends that in the whole model hit the tower too.
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
