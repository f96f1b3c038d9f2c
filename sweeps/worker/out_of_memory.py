"""Retries a trial that ran out of memory, with gradient checkpointing or half the micro-batch.

When the GPU or the host has no memory left, torch raises an exception. If Ray's memory monitor
kills the process before that, the driver writes a file in the trial's folder for the next attempt.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lnt_core.config import TrialConfig
from lnt_core.devices.faults import is_out_of_memory
from lnt_core.errors import DamagedError, TrialError
from lnt_core.files import read_json, set_aside, write_json
from lnt_core.strategies import STRATEGIES
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

    Where `gradient_checkpointing: auto` found that the trial can do without, it is run with
    checkpointing first, at the same micro-batch size, and only then with half of that.

    Each further attempt has the losses of the first, up to rounding: that of an optimizer step is
    the mean over the whole batch, over however many micro-batches. Training resumes from the
    checkpoint of the attempt before, if there is one.

    Args:
        config: The trial.
        run: Runs a trial with the config that it is called with.
        num_kills: How often the memory monitor has killed the trial's process so far.
        begun: Returns the config with what was found for each `auto`; before that, the same
            config.

    Returns:
        What ``run`` returned, the config of that run, and a note on the further attempts; the note
        is empty if the first attempt succeeded.

    Raises:
        TrialError: The memory monitor killed the trial, and nothing is left to be tried.
    """
    first = begun(config)
    to_find = not first.train.is_settled  # no attempt has found anything yet
    if num_kills > (1 if to_find else len(_leaner(config, first))):
        raise TrialError(TOO_LITTLE_MEMORY)
    place = 0 if to_find else num_kills
    while True:
        try:
            done = run([config, *_leaner(config, begun(config))][place])
        except Exception as error:
            place += 1
            if place > len(_leaner(config, begun(config))) or not is_out_of_memory(error):
                raise
        else:
            first = begun(config)
            tried = [first, *_leaner(config, first)][: place + 1]
            notes = [_note(before, after) for before, after in itertools.pairwise(tried)]
            return done, tried[-1], "; ".join(notes)


def _leaner(config: TrialConfig, first: TrialConfig) -> list[TrialConfig]:
    """What is tried after the first attempt, each with less memory than the one before.

    Args:
        config: The trial.
        first: The same with what was found for each `auto`.
    """
    attempts = [first]
    is_found = config.train.gradient_checkpointing == "auto"
    if is_found and first.train.gradient_checkpointing is False and _may_checkpoint(first):
        attempts.append(first.with_checkpointing(on=True))
    half = halved(attempts[-1])
    return attempts[1:] if half is None else [*attempts[1:], half]


def _may_checkpoint(config: TrialConfig) -> bool:
    return STRATEGIES[config.strategy.name].allows_checkpointing


def _note(before: TrialConfig, after: TrialConfig) -> str:
    size = before.train.micro_batch
    if after.train.micro_batch == size:
        return f"out of memory at micro_batch_size {size}; run again with gradient checkpointing"
    return f"out of memory at micro_batch_size {size}; run again with {after.train.micro_batch}"


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
