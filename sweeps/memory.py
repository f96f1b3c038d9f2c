"""A trial that runs out of memory is tried once more, with half the micro batch."""

import gc
from collections.abc import Callable
from typing import TypeVar

from lnt_core.config import TrialConfig

Done = TypeVar("Done")
HOST_MESSAGES = ("not enough memory: you tried to allocate", "can't allocate memory")
"""How torch says that the host has no memory left; it raises a plain RuntimeError then."""


def run_in_memory(
    config: TrialConfig, run: Callable[[TrialConfig], Done]
) -> tuple[Done, TrialConfig, str]:
    """Run a trial; out of memory, once more with half the micro batch and twice the accumulation.

    The loss of a step is the same: it is the mean over the whole batch. Training goes on from the
    checkpoint of the first attempt, if it came so far.

    Returns:
        What ``run`` gave, the config that it ran with, and what to tell of it; empty if nothing.
    """
    try:
        return run(config), config, ""
    except Exception as error:
        smaller = halved(config)
        if smaller is None or not is_out_of_memory(error):
            raise
    _free()
    note = (
        f"out of memory at micro_batch_size {config.train.micro_batch_size}; "
        f"run again with {smaller.train.micro_batch_size}"
    )
    return run(smaller), smaller, note


def halved(config: TrialConfig) -> TrialConfig | None:
    """With half the micro batch and the same batch; None if that cannot be."""
    half = config.train.micro_batch_size // 2
    if half == 0 or config.train.batch_size % half:
        return None
    train = config.train.model_copy(update={"micro_batch_size": half})
    return config.model_copy(update={"train": train})


def is_out_of_memory(error: BaseException) -> bool:
    """Of the GPU or of the host."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in HOST_MESSAGES)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
