"""Before an execution is resumed: what is damaged in it is set aside, and made again.

What belongs to a trial that has not ended is seen to by the trial itself.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core import outcome
from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError, DamagedError
from lnt_core.files import damaged_files, read_json, read_yaml, set_aside, write_yaml
from lnt_core.trial import forget_progress
from sweeps.config import SweepConfig
from sweeps.plan.trials import SweepTrial
from sweeps.storage.events import EVENTS, is_whole
from sweeps.storage.execution import (
    BASE,
    BASE_SCORES,
    RAN,
    SWEEP,
    TRACKED,
    TRIAL,
    Execution,
    Result,
    TrialStatus,
    mend_head,
)
from sweeps.storage.trials import COPY, ORIGIN, read_copy, read_trial, write_config, write_trial

logger = logging.getLogger(__name__)
ENDED_BY_ITSELF = (TrialStatus.FINISHED, TrialStatus.DIVERGED)


def mend(execution: Execution, sweep: SweepConfig, planned: Iterable[SweepTrial]) -> None:
    """Check every file of an execution that this or a later step of a resumed sweep will read.

    Args:
        execution: The execution; no trial of it runs.
        sweep: The sweep that is resumed.
        planned: The trials of the sweep file.

    Raises:
        ConfigError: A trial is damaged that stands nowhere else.
    """
    mend_head(execution.path, sweep)
    if why := _damage_of_yaml(execution.path / SWEEP):
        set_aside(execution.path / SWEEP, why, "it has been written again")
        write_yaml(execution.path / SWEEP, sweep.model_dump(mode="json"))
    _mend_base(execution)
    by_id = {trial.id: trial for trial in planned}
    for folder in sorted(execution.path.glob("trials/*")):
        if _mend_trial(folder, by_id.get(folder.name)):
            _mend_end(execution, folder.name)


def _mend_base(execution: Execution) -> None:
    path, folder = execution.path / BASE_SCORES, execution.path / BASE
    try:
        bad = damaged_files(folder, read_json(path)["files"])
    except FileNotFoundError:
        return
    except DamagedError as error:
        return set_aside(path, error.why, "the untuned base is scored again")
    if bad:
        why = f"{bad[0]} in {BASE}/ is not as it was written"
        set_aside(path, why, "the untuned base is scored again")


def _mend_trial(folder: Path, planned: SweepTrial | None) -> bool:
    """Make the files whole that say what a trial is; False if the folder has no trial."""
    found, damaged = _copies(folder)
    damaged |= {TRIAL: why} if (why := _damage_of_yaml(folder / TRIAL)) else {}
    missing = {name for name in (ORIGIN, COPY, TRIAL) if not (folder / name).exists()}
    if found is None and len(missing) == 3:
        return False  # a driver was killed while it added a trial
    if not damaged and not missing:
        return True
    if found is None and planned is not None:
        found = time.time_ns(), planned
    if found is None:
        raise ConfigError(
            f"{folder / ORIGIN} and {COPY} beside it are damaged ({', '.join(damaged.values())}): "
            "what this trial is stands nowhere else, because it was added while the sweep ran; "
            f"restore one of them, or move {folder} away to go on without it"
        )
    for name, why in damaged.items():
        set_aside(folder / name, why, "it has been written again")
    write_trial(folder, found[1], planned_ns=found[0])
    return True


def _copies(folder: Path) -> tuple[tuple[int, SweepTrial] | None, dict[str, str]]:
    """A trial from a whole copy, with when it was planned; and what is wrong with other copies."""
    found, damaged = None, {}
    for name in (ORIGIN, COPY):
        try:
            found = read_copy(folder / name)
        except FileNotFoundError:
            continue
        except DamagedError as error:
            damaged[name] = error.why
    return found, damaged


def _mend_end(execution: Execution, trial_id: str) -> None:
    """Forget how a trial ended if that is damaged, or something that it left at its end is lost."""
    folder = execution.trial(trial_id)
    result = _result(execution, trial_id)
    if result is None or result.status not in ENDED_BY_ITSELF:
        return
    lost = outcome.lost_files(folder, result.files)
    if not _is_sent(folder) and not is_whole(folder / EVENTS, steps=result.steps):
        logger.warning("%s is not whole: trial %s is run again", folder / EVENTS, trial_id)
        lost.append(EVENTS)
    if lost:
        execution.forget_result(trial_id)
        outcome.forget_result(folder)
    elif (folder / RAN).exists() and (why := _damage_of_yaml(folder / RAN)):
        set_aside(folder / RAN, why, "it has been written again")
        config = read_trial(execution, trial_id).config
        write_config(_that_ran(config, result.metrics), folder / RAN)


def _result(execution: Execution, trial_id: str) -> Result | None:
    """How a trial ended; as the trial itself has left it if the result is lost."""
    try:
        kept = execution.result(trial_id)
    except DamagedError as error:
        then = f"it is made again from {outcome.ENDED}, or the trial from its last checkpoint"
        set_aside(error.path, error.why, then)
        kept = None
    return left_by_itself(execution, trial_id) if kept is None else kept


def left_by_itself(execution: Execution, trial_id: str) -> Result | None:
    """How a trial without a result ended, as the trial itself has left it; None if it has not.

    Its process may have died just then, or in the analysis, which comes last.
    """
    folder = execution.trial(trial_id)
    config = read_trial(execution, trial_id).config
    done = outcome.ended(config, folder)
    if done is None:
        return None
    took_s = sum(
        done.metrics[part] for part in (metric.PREPARE_S, metric.TRAIN_S, metric.EVALUATE_S)
    )
    made = Result(
        TrialStatus(done.status),
        done.steps,
        done.metrics,
        note=done.note,
        files=done.files,
        took_s=took_s,
    )
    ran = _that_ran(config, done.metrics)
    if ran != config:
        write_config(ran, folder / RAN)
    execution.write_result(trial_id, made)
    forget_progress(folder)
    return made


def _that_ran(config: TrialConfig, metrics: Mapping[str, float]) -> TrialConfig:
    """A trial's config with what its final metrics say that it ran with."""
    ran = config.with_micro_batch(int(metrics[metric.MICRO_BATCH_SIZE]))
    if config.train.gradient_checkpointing != "auto":  # as given, whatever memory there was
        return ran
    return ran.with_checkpointing(on=bool(metrics[metric.GRADIENT_CHECKPOINTING]))


def _is_sent(folder: Path) -> bool:
    """Whether MLflow has all of a trial, whose events are not read again then."""
    try:
        return bool(read_json(folder / TRACKED)["closed"])
    except (DamagedError, FileNotFoundError):
        return False


def _damage_of_yaml(path: Path) -> str:
    """What is wrong with a file of YAML; empty if it is whole or not there."""
    try:
        read_yaml(path)
    except FileNotFoundError:
        return ""
    except DamagedError as error:
        return error.why
    return ""
