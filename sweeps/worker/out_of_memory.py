"""Retries a trial that ran out of memory, with half the micro-batch size.

When the GPU or the host has no memory left, torch raises an exception. If Ray's memory monitor
kills the process before that, the driver writes a file in the trial's folder for the next attempt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lnt_core.config import TrialConfig
from lnt_core.devices.faults import is_out_of_memory
from lnt_core.errors import DamagedError, TrialError
from lnt_core.files import read_json, set_aside, write_json
from sweeps.storage.execution import KILLS

Done = TypeVar("Done")
TOO_LITTLE_MEMORY = (
    "Ray's memory monitor killed the trial: its node has too little memory. Lower "
    "train.micro_batch_size, or run fewer trials at once (raise resources.cpus_per_trial)"
)


def run_in_memory(
    config: TrialConfig,
    run: Callable[[TrialConfig], Done],
    *,
    num_kills: int = 0,
    begun: Callable[[TrialConfig], TrialConfig] = lambda config: config,
) -> tuple[Done, TrialConfig, str]:
    """Run a trial; if it runs out of memory, run it once more with half the micro-batch size.

    The second attempt accumulates gradients over more micro-batches. The loss of an optimizer step
    stays the same, since it is the mean over the whole batch. Training resumes from the checkpoint
    of the first attempt, if there is one.

    Args:
        config: The trial.
        run: Runs a trial with the config that it is called with.
        num_kills: How often the memory monitor has killed the trial's process so far.
        begun: Returns the config with the size that was found for `micro_batch_size: auto`; before
            that, the same config.

    Returns:
        What ``run`` returned, the config of that run, and a note on the second attempt; the note is
        empty if the first attempt succeeded.

    Raises:
        TrialError: The memory monitor killed the trial, and its micro-batch size has already been
            halved or cannot be.
    """
    first = begun(config)
    to_find = first.train.micro_batch_size == "auto"  # no attempt has found a size yet
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
    smaller = halved(first)
    assert smaller is not None
    note = (
        f"out of memory at micro_batch_size {first.train.micro_batch}; "
        f"run again with {smaller.train.micro_batch}"
    )
    return run(smaller), smaller, note


def count_kill(folder: Path) -> None:
    """Record that the memory monitor killed the trial of this folder once more."""
    write_json(folder / KILLS, {"kills": num_kills(folder) + 1})


def num_kills(folder: Path) -> int:
    """How often the memory monitor has killed the trial of this folder."""
    try:
        return int(read_json(folder / KILLS)["kills"])
    except FileNotFoundError:
        return 0
    except DamagedError as error:
        set_aside(error.path, error.why, "the count starts anew")
        return 0


def halved(config: TrialConfig) -> TrialConfig | None:
    """The config with half the micro-batch size, or the next smaller one that divides the batch.

    None if there is no smaller one, or if the size is still `auto`.
    """
    if config.train.micro_batch_size == "auto":
        return None
    half = config.train.micro_batch // 2
    smaller = [size for size in range(1, half + 1) if config.train.batch_size % size == 0]
    return config.with_micro_batch(smaller[-1]) if smaller else None
