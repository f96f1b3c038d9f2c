"""Weights and checkpoints that several workers hold in parts; deepspeed, where it is wanted."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lnt_core.distributed.ranks import join
from lnt_core.distributed.zero_config import Deepspeed, stage_of, zero_section
from lnt_core.errors import TrialError


def shards(checkpoint: Path) -> Path:
    """The folder of a sharded checkpoint, beside where a plain one would be."""
    return checkpoint.with_suffix("")


@contextlib.contextmanager
def loaded_in_parts(deepspeed: Deepspeed, *, device: str, dtype: torch.dtype) -> Iterator[None]:
    """Under ZeRO-3, what transformers loads within it never stands whole on one worker.

    The first worker reads a checkpoint tensor by tensor, and each keeps its part. Every worker
    must enter; they are joined if they are not yet. Without ZeRO-3 nothing happens.
    """
    if stage_of(deepspeed) != 3:
        yield
        return
    deepspeed_quietly()
    join(device)
    with _known_to_libraries(deepspeed, dtype):
        yield


@contextlib.contextmanager
def open_to_strategies(model: nn.Module, deepspeed: Deepspeed) -> Iterator[None]:
    """Within it, a strategy can be applied to a model in parts.

    PEFT puts together what it copies or reads, but for norms: vectors stand whole here.
    """
    if not is_sharded(model):
        yield
        return
    vectors = [p for p in model.parameters() if len(shape_of(p)) == 1]
    with _known_to_libraries(deepspeed, torch.float32), whole(vectors):
        yield


@contextlib.contextmanager
def _known_to_libraries(deepspeed: Deepspeed, dtype: torch.dtype) -> Iterator[None]:
    """A global of transformers tells it and PEFT that weights are in parts."""
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    known = HfDeepSpeedConfig(  # held by a weak reference: it lives as long as the name does
        {
            "train_micro_batch_size_per_gpu": 1,
            "zero_optimization": zero_section(deepspeed),
            "bf16": {"enabled": dtype == torch.bfloat16},
        }
    )
    try:
        yield
    finally:
        unset_hf_deepspeed_config()
        del known


def whole(
    parameters: Sequence[nn.Parameter], *, changed: bool = False
) -> AbstractContextManager[None]:
    """Within it, parameters that ZeRO-3 keeps in parts stand whole on every worker.

    To be read, and those that are whole already stay so: autograd may want them again. With
    ``changed`` each worker's part is at the end that of the first's parameters.
    """
    apart = [p for p in parameters if in_parts(p) and (changed or not _is_available(p))]
    if not apart:
        return contextlib.nullcontext()
    gathered: AbstractContextManager[None] = deepspeed_quietly().zero.GatheredParameters(
        apart, modifier_rank=0 if changed else None
    )
    return gathered


def _is_available(parameter: Any) -> bool:
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    return bool(parameter.ds_status == ZeroParamStatus.AVAILABLE)


def make_whole(module: nn.Module) -> None:
    """Give every worker all of a module that was loaded in parts; for the small ones."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if in_parts(parameter):
                with whole([parameter]):
                    copied = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                setattr(owner, name, copied)


def own_float32(parameter: nn.Parameter) -> None:
    """Hold this worker's part in float32, as what trains must be.

    Raises:
        TrialError: The part is on disk.
    """
    part = parameter.ds_tensor  # type: ignore[attr-defined]
    if part.dtype == torch.float32:
        return
    if part.numel() < part.ds_numel:
        raise TrialError(
            "train.deepspeed offloads parameters to NVMe, where weights in bfloat16 cannot be "
            "trained: set `offload_param.device: cpu`, or `train.precision: fp32`"
        )
    parameter.data = parameter.data.float()
    part.data = part.data.float()


def in_parts(parameter: nn.Parameter) -> bool:
    """Whether ZeRO-3 keeps but a part of it here."""
    return hasattr(parameter, "ds_id")


def shape_of(parameter: torch.Tensor) -> torch.Size:
    """Of the whole parameter, also where ZeRO-3 keeps but a part of it here."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def is_sharded(model: nn.Module) -> bool:
    """Whether ZeRO-3 keeps but a part of each parameter here, so that workers must keep step."""
    return any(in_parts(p) for p in model.parameters())


def able_to_run(model: nn.Module, deepspeed: Deepspeed) -> nn.Module:
    """The model; one in parts puts its layers together as it comes to them, from here on.

    For a model that does not train: the engine does the same for one that does.
    """
    if is_sharded(model):
        deepspeed_quietly().initialize(
            model=model,
            config={
                "train_micro_batch_size_per_gpu": 1,
                "zero_optimization": zero_section(deepspeed),
                "steps_per_print": 10**9,
            },
            dist_init_required=False,
        )
    return model


def deepspeed_quietly() -> Any:
    """The package, without what it says of each thing it does.

    Raises:
        TrialError: It is not installed.
    """
    try:
        import deepspeed
    except ModuleNotFoundError as error:
        raise TrialError(
            "train.deepspeed is given, but deepspeed is not installed: "
            "pip install 'lnt-sweeps[deepspeed]'"
        ) from error
    import deepspeed.ops.adam
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    return deepspeed
