"""A trial that runs out of memory is tried once more, with half the micro batch.

The GPU's memory, or the host's as torch says it, ends in an exception. Where Ray's memory monitor
kills the process first, the driver leaves a note in the trial's folder for the next attempt.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lnt_core.config import TrialConfig
from lnt_core.errors import TrialError
from sweeps.storage.execution import KILLS

Done = TypeVar("Done")
TOO_LITTLE_MEMORY = (
    "Ray's memory monitor killed the trial: its node has too little memory. Lower "
    "train.micro_batch_size, or run fewer trials at once (resources.cpus_per_trial)"
)
HOST_MESSAGES = ("not enough memory: you tried to allocate", "can't allocate memory")
"""How torch says that the host has no memory left; it raises a plain RuntimeError then."""


def run_in_memory(
    config: TrialConfig,
    run: Callable[[TrialConfig], Done],
    *,
    num_kills: int = 0,
    begun: Callable[[TrialConfig], TrialConfig] = lambda config: config,
) -> tuple[Done, TrialConfig, str]:
    """Run a trial; out of memory, once more with half the micro batch and twice the accumulation.

    The loss of a step is the same: it is the mean over the whole batch. Training goes on from the
    checkpoint of the first attempt, if it came so far.

    Args:
        config: The trial.
        run: Runs it.
        num_kills: So often its process was killed for memory already.
        begun: Gives the config with the micro batch that was found for `auto`, once it was.

    Returns:
        What ``run`` gave, the config that it ran with, and what to tell of it; empty if nothing.

    Raises:
        TrialError: It was killed for memory, and there is nothing more to halve.
    """
    first = begun(config)
    to_find = first.train.micro_batch_size == "auto"  # if killed, then before it was found
    if num_kills > 1 or (num_kills and not to_find and halved(first) is None):
        raise TrialError(TOO_LITTLE_MEMORY)
    if not num_kills or to_find:
        try:
            done = run(config)
            return done, begun(config), ""
        except Exception as error:
            first = begun(config)
            if halved(first) is None or not is_out_of_memory(error):
                raise
        _free()
    smaller = halved(first)
    assert smaller is not None
    note = (
        f"out of memory at micro_batch_size {first.train.micro_batch}; "
        f"run again with {smaller.train.micro_batch}"
    )
    return run(smaller), smaller, note


def count_kill(folder: Path) -> None:
    """Note that the trial of this folder was killed for memory once more."""
    (folder / KILLS).write_text(str(num_kills(folder) + 1))


def num_kills(folder: Path) -> int:
    """How often the trial of this folder was killed for memory."""
    return int((folder / KILLS).read_text()) if (folder / KILLS).exists() else 0


def halved(config: TrialConfig) -> TrialConfig | None:
    """With half the micro batch, or the next smaller one that divides the batch.

    None if there is none, or if the micro batch is still to be found.
    """
    if config.train.micro_batch_size == "auto":
        return None
    half = config.train.micro_batch // 2
    smaller = [size for size in range(1, half + 1) if config.train.batch_size % size == 0]
    return config.with_micro_batch(smaller[-1]) if smaller else None


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
