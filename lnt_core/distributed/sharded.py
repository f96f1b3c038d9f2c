"""Weights and checkpoints sharded over several workers (ZeRO-3), and the import of deepspeed."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lnt_core.devices.chosen import settled_type
from lnt_core.distributed.ranks import join
from lnt_core.distributed.zero_config import Deepspeed, stage_of, zero_section
from lnt_core.errors import TrialError


def shards(checkpoint: Path) -> Path:
    """Folder of a sharded checkpoint; ``checkpoint`` is the path of an unsharded one."""
    return checkpoint.with_suffix("")


@contextlib.contextmanager
def loaded_in_parts(deepspeed: Deepspeed, *, device: str, dtype: torch.dtype) -> Iterator[None]:
    """Under ZeRO-3, shard the models that transformers loads within this context.

    Rank 0 reads a checkpoint tensor by tensor and each worker keeps its shard, so no worker ever
    holds the whole model. Every worker must enter the context, which initializes the process group
    if necessary. Without ZeRO-3 it has no effect.
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
    """Context within which a strategy can be applied to a sharded model.

    PEFT gathers the parameters that it copies or reads, except those of norms: for these, all
    one-dimensional parameters are gathered here.
    """
    if not is_sharded(model):
        yield
        return
    vectors = [p for p in model.parameters() if len(shape_of(p)) == 1]
    with _known_to_libraries(deepspeed, torch.float32), whole(vectors):
        yield


@contextlib.contextmanager
def _known_to_libraries(deepspeed: Deepspeed, dtype: torch.dtype) -> Iterator[None]:
    """Set the global by which transformers and PEFT know that weights are sharded."""
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    known = HfDeepSpeedConfig(  # transformers holds only a weak reference to it
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
    """Context within which parameters sharded by ZeRO-3 are gathered on every worker.

    With ``changed``, the shards of all workers are updated from rank 0's values on exit. Without,
    parameters that are already gathered stay so afterwards, since autograd may need them again.
    """
    apart = [p for p in parameters if in_parts(p) and (changed or not _is_available(p))]
    if not apart:
        return contextlib.nullcontext()
    gathered: AbstractContextManager[None] = deepspeed_quietly().zero.GatheredParameters(
        apart, modifier_rank=0 if changed else None
    )
    return gathered


@contextlib.contextmanager
def run_whole(model: nn.Module) -> Iterator[None]:
    """Context within which a sharded model is whole on every worker, and runs without the others.

    The weights are gathered once, and what would gather and release them around each layer is
    taken away. Every worker must enter the context. On exit all is as it was.
    """
    kept = [
        (hooks, hooks.copy())
        for module in model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
    ]
    with whole(list(model.parameters())):
        try:
            for hooks, _ in kept:
                for key in [key for key, hook in hooks.items() if _is_deepspeeds(hook)]:
                    del hooks[key]
            yield
        finally:
            for hooks, before in kept:
                hooks.clear()
                hooks.update(before)


def runs_in_step(model: nn.Module) -> bool:
    """Whether all workers must run the model equally often: it gathers its weights when it runs."""
    return is_sharded(model) and any(
        _is_deepspeeds(hook)
        for module in model.modules()
        for hook in module._forward_hooks.values()
    )


def _is_deepspeeds(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] == "deepspeed"


def _is_available(parameter: Any) -> bool:
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    return bool(parameter.ds_status == ZeroParamStatus.AVAILABLE)


def make_whole(model: nn.Module, names: Iterable[str]) -> None:
    """Replace (small) sharded parameters by full copies on every worker."""
    for name in names:
        parameter = model.get_parameter(name)
        if in_parts(parameter):
            with whole([parameter]):
                copied = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, copied)


def own_float32(parameter: nn.Parameter) -> None:
    """Convert this worker's shard to float32, as trained parameters must be.

    Raises:
        TrialError: The shard is offloaded to NVMe.
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
    """Whether ZeRO-3 shards this parameter."""
    return hasattr(parameter, "ds_id")


def shape_of(parameter: torch.Tensor) -> torch.Size:
    """Shape of the whole parameter, also if ZeRO-3 shards it."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def is_sharded(model: nn.Module) -> bool:
    """Whether ZeRO-3 shards the model."""
    return any(in_parts(p) for p in model.parameters())


def able_to_run(model: nn.Module, deepspeed: Deepspeed) -> nn.Module:
    """Return the model, ready for forward passes without training.

    A sharded model gathers each layer when it runs from here on. For a model that trains, the
    engine takes care of this.
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
    """Import deepspeed, with its logger restricted to errors, and return the package.

    Raises:
        TrialError: deepspeed is not installed, or was imported for another device.
    """
    try:
        import deepspeed
    except ModuleNotFoundError as error:
        raise TrialError(
            "train.deepspeed is set, but deepspeed is not installed: "
            "pip install 'lnt-sweeps[deepspeed]'"
        ) from error
    import deepspeed.ops.adam
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    taken, wanted = deepspeed.accelerator.get_accelerator().device_name(), settled_type()
    if wanted is not None and taken != wanted:
        raise TrialError(
            f"the trial runs on {wanted!r}, but deepspeed was imported before that was known and "
            f"took {taken!r}: create the Worker before deepspeed or peft is imported"
        )
    return deepspeed
