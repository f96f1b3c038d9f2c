"""Parameters and checkpoints that several workers hold in parts; deepspeed, where it is wanted."""

import contextlib
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import nn

from lnt_core.errors import TrialError


def shards(checkpoint: Path) -> Path:
    """The folder of a sharded checkpoint, beside where a plain one would be."""
    return checkpoint.with_suffix("")


def whole(
    parameters: Sequence[nn.Parameter], *, changed: bool = False
) -> AbstractContextManager[None]:
    """Within it, parameters that ZeRO-3 keeps in parts stand whole on every worker.

    To be read, and those that are whole already stay so: autograd may want them again. With
    ``changed`` each worker's part is at the end that of the first's parameters.
    """
    if not any(hasattr(p, "ds_id") for p in parameters):
        return contextlib.nullcontext()
    apart = [p for p in parameters if changed or not _is_available(p)]
    gathered: AbstractContextManager[None] = deepspeed_quietly().zero.GatheredParameters(
        apart, modifier_rank=0 if changed else None
    )
    return gathered


def _is_available(parameter: Any) -> bool:
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    return bool(parameter.ds_status == ZeroParamStatus.AVAILABLE)


def is_sharded(model: nn.Module) -> bool:
    """Whether ZeRO-3 keeps but a part of each parameter here, so that workers must keep step."""
    return any(hasattr(p, "ds_id") for p in model.parameters())


def deepspeed_quietly() -> Any:
    """The package, without what it says of each thing it does.

    Raises:
        TrialError: It is not installed.
    """
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    try:
        import deepspeed
    except ModuleNotFoundError as error:
        raise TrialError(
            "train.deepspeed is given, but deepspeed is not installed: "
            "pip install 'lnt-sweeps[deepspeed]'"
        ) from error
    import deepspeed.ops.adam
    from deepspeed.utils import logger

    logger.setLevel(logging.ERROR)
    return deepspeed
