"""Wrapping a model by PEFT, the same way for every strategy that PEFT has."""

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

    from lnt_core.models.roles import Roles


def wrap(model: "nn.Module", config: "PeftConfig", roles: "Roles") -> "nn.Module":
    """Wrap ``model``, and keep embedding and head one tensor where the base ties them.

    PEFT copies each of ``modules_to_save`` on its own, which would part a tied pair.
    """
    from peft import get_peft_model

    embedding, head = (model.get_submodule(name) for name in (roles.embedding, roles.head))
    tied = embedding.weight is head.weight
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", message="Unsupported layer type")  # RMSNorm is a norm
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        wrapped = get_peft_model(model, config)
    if tied and getattr(config, "modules_to_save", None):
        copies = [
            wrapped.get_base_model().get_submodule(name).modules_to_save["default"]
            for name in (roles.embedding, roles.head)
        ]
        copies[1].weight = copies[0].weight
    tuned: nn.Module = wrapped
    return tuned
