"""Saves what a strategy trained, and loads it into the base model."""

import json
from pathlib import Path

import torch
from torch import nn

from lnt_core.distributed.ranks import is_first
from lnt_core.distributed.sharded import is_sharded, whole
from lnt_core.errors import DataError, TrialError
from lnt_core.models.roles import find_roles
from lnt_core.models.vlm import VisionLanguageModel, own_trainable
from lnt_core.strategies import StrategyConfig, get_strategy
from lnt_core.strategies.peft_model import in_place, quiet_peft

DELTA = "delta.safetensors"
"""Trained tensors by name, with the strategy as metadata, for strategies that PEFT lacks."""
ADAPTER = "adapter_model.safetensors"
"""PEFT's own name of an adapter's tensors."""
CONNECTOR = "base_connector.safetensors"
"""The connector as trained in stage 1."""


def save_weights(
    model: nn.Module, folder: Path, *, strategy: StrategyConfig, base_name: str
) -> None:
    """Write a PEFT adapter, which ``PeftModel.from_pretrained`` loads, or else ``DELTA``.

    If several workers train the model, all of them must call this; rank 0 writes.
    """
    from peft import PeftModel
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, PeftModel):
        model.peft_config["default"].base_model_name_or_path = base_name
        with whole([p for p in model.parameters() if p.requires_grad]):
            model.save_pretrained(
                str(folder), save_embedding_layers=False, is_main_process=is_first()
            )
            if is_first():
                _add_in_place(model, folder / ADAPTER)
        return
    tensors = {name: tensor.contiguous() for name, tensor in trainable_state(model).items()}
    metadata = {"base_model": base_name, "strategy": strategy.model_dump_json()}
    if is_first():
        save_file(tensors, folder / DELTA, metadata=metadata)


def _add_in_place(model: nn.Module, adapter: Path) -> None:
    """Add to an adapter's file what it trains of the base itself: PEFT loads it, but saves none."""
    from safetensors.torch import load_file, save_file

    trained = {name: p.detach().cpu().contiguous() for name, p in in_place(model).items()}
    if trained:
        save_file(load_file(adapter) | trained, adapter, metadata={"format": "pt"})


def save_connector(base: VisionLanguageModel, folder: Path) -> None:
    """Write the connector of stage 1, which is part of the base that was tuned."""
    from safetensors.torch import save_file

    tensors = {n: tensor.detach().contiguous() for n, tensor in base.connector.items()}
    save_file(tensors, folder / CONNECTOR)


def load_connector(base: VisionLanguageModel, folder: Path) -> None:
    """Load the connector of stage 1 into a base model without stage 1."""
    from safetensors.torch import load_file

    base.set_connector(load_file(folder / CONNECTOR))


def load_weights(model: nn.Module, folder: Path) -> nn.Module:
    """Load tuned weights into a copy of the base model.

    Returns:
        A PEFT model around ``model``, or ``model`` itself with the trained tensors.

    Raises:
        DataError: The folder has neither an adapter nor ``DELTA``.
    """
    from peft import PeftModel
    from safetensors import safe_open

    if (folder / "adapter_config.json").is_file():
        _own_raw(model)
        with quiet_peft():
            tuned: nn.Module = PeftModel.from_pretrained(model, str(folder))
        return tuned
    if not (folder / DELTA).is_file():
        raise DataError(f"{folder} has no tuned weights: neither adapter_config.json nor {DELTA}")
    with safe_open(folder / DELTA, framework="pt") as file:
        options = json.loads(file.metadata()["strategy"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    strategy = get_strategy(options["name"])
    model.requires_grad_(False)  # what trains is the strategy's choice, not that of a loader
    model = strategy.apply(model, find_roles(model), strategy.Config.model_validate(options))
    own_trainable(model)  # the base shares storage with it and must not change
    load_trainable(model, tensors, where=str(folder / DELTA))
    return model.requires_grad_(False)


def _own_raw(model: nn.Module) -> None:
    """Give raw parts their own float32 storage: PEFT would load into that of the base."""
    raw = dict(model.named_parameters())
    for name in find_roles(model).connector:
        if name in raw:
            raw[name].data = raw[name].detach().to(torch.float32, copy=True)


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Trained tensors by name; a tensor shared by two modules appears once.

    Tensors that ZeRO-3 shards are gathered one at a time into the CPU memory of rank 0; the other
    workers get an empty dict.
    """
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not is_sharded(model):
        return {n: p.detach() for n, p in trained.items()}
    state = {}
    for name, parameter in trained.items():
        with whole([parameter]):
            if is_first():
                state[name] = parameter.detach().to("cpu", copy=True)
    return state


@torch.no_grad()
def load_trainable(model: nn.Module, tensors: dict[str, torch.Tensor], *, where: str) -> None:
    """Copy tensors into the trainable parameters of the same names.

    Args:
        model: Changed in place.
        tensors: Values by parameter name.
        where: The file that they come from, for the error.

    Raises:
        TrialError: The names are not exactly those of the model's trainable parameters.
    """
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if own.keys() != tensors.keys():
        other = sorted(own.keys() ^ tensors.keys())[:3]
        raise TrialError(
            f"{where} does not have the same trained tensors as the model; differing names include "
            f"{', '.join(other)}"
        )
    for name, parameter in own.items():
        parameter.copy_(tensors[name])
