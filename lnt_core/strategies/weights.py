"""Saving what a strategy trained, and putting it back onto the base model."""

from pathlib import Path

from torch import nn

from lnt_core.errors import DataError
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.training.checkpoints import load_trainable, trainable_state

DELTA = "delta.safetensors"
"""Trained tensors by their names in the base model, for strategies that train its own weights."""
CONNECTOR = "base_connector.safetensors"


def save_weights(model: nn.Module, folder: Path, *, base_name: str) -> None:
    """Write a PEFT adapter (plain ``PeftModel.from_pretrained`` loads it) or ``DELTA``."""
    from peft import PeftModel
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, PeftModel):
        model.peft_config["default"].base_model_name_or_path = base_name
        model.save_pretrained(str(folder), save_embedding_layers=False)
        return
    tensors = {name: tensor.contiguous() for name, tensor in trainable_state(model).items()}
    save_file(tensors, folder / DELTA, metadata={"base_model": base_name})


def save_connector(base: VisionLanguageModel, folder: Path) -> None:
    """Write the connector of stage 1, which belongs to the base that the weights go onto."""
    from safetensors.torch import save_file

    connector = base.model.get_submodule(base.roles.connector)
    tensors = {name: tensor.contiguous() for name, tensor in connector.state_dict().items()}
    save_file(tensors, folder / CONNECTOR)


def load_connector(base: VisionLanguageModel, folder: Path) -> None:
    """Put the connector of stage 1 into a base that has not been through it."""
    from safetensors.torch import load_file

    base.model.get_submodule(base.roles.connector).load_state_dict(load_file(folder / CONNECTOR))


def load_weights(model: nn.Module, folder: Path) -> nn.Module:
    """Put saved weights onto a copy of the base model.

    Returns:
        A PEFT model around ``model``, or ``model`` itself with the trained tensors in it.

    Raises:
        DataError: The folder holds neither an adapter nor ``DELTA``.
    """
    from peft import PeftModel
    from safetensors.torch import load_file

    if (folder / "adapter_config.json").is_file():
        tuned: nn.Module = PeftModel.from_pretrained(model, str(folder))
        return tuned
    if not (folder / DELTA).is_file():
        raise DataError(f"{folder} holds no tuned weights: neither adapter_config.json nor {DELTA}")
    tensors = load_file(folder / DELTA)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in tensors)
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for parameter in own.values():
        parameter.data = parameter.data.clone()  # the base it shares storage with stays as it is
    load_trainable(model, tensors, where=str(folder / DELTA))
    return model.requires_grad_(False)
