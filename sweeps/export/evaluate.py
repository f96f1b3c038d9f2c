"""Scores a model without a sweep: an export, a merged checkpoint or a whole one, on any tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnt_core.config import ModelConfig, Precision, TasksConfig, TrainConfig, TrialConfig
from lnt_core.errors import ConfigError, DamagedError, all_problems, bad_field
from lnt_core.evaluation.check import problems_of, task_problems
from lnt_core.files import checksums, read_json, write_json
from lnt_core.paths import is_folder, is_model_here, shown
from sweeps.export.best import BEST, load_best
from sweeps.plan.load import anchored_tasks
from sweeps.validation import create_output, load_yaml, validation_problems

MODEL = "model.json"
"""In the folder of an evaluation: what is scored there."""
BATCH_SIZES = "batch_sizes.json"
"""In the folder of an evaluation: how many questions fit in memory, once it has run out."""


@dataclass(frozen=True)
class Scored:
    """A model that has been scored."""

    name: str
    """The model's name for people."""
    sweep: str | None
    """The sweep that an export is from."""
    scores: dict[str, float]
    """Every score by its metric."""


@dataclass(frozen=True)
class Asked:
    """What `lnt eval` is asked for, checked."""

    name: str
    export: Path | None
    """Folder of an export; else ``name`` is a whole checkpoint."""
    trial: TrialConfig | None
    """That of the export."""
    sweep: str | None
    tasks: TasksConfig | None
    """Those of the file."""
    with_sweeps: bool
    """Whether to score on the tasks of the sweep, too."""
    precision: Precision
    limit: int | None


def asked(
    model: str,
    *,
    tasks: Path | None,
    with_sweeps: bool,
    precision: Precision | None,
    limit: int | None,
) -> Asked:
    """Check what `lnt eval` is asked for, with its files.

    Args:
        model: Folder of an export or of a checkpoint, or name of a checkpoint on the Hub.
        tasks: File of tasks; None: those of the sweep that the export is from.
        with_sweeps: Whether to score on these beside those of ``tasks``.
        precision: Number format of a whole checkpoint. Default: ``fp32``.
        limit: Use only the first questions of each task.

    Raises:
        ConfigError: It cannot be done; the message says why.
    """
    read = read_tasks(tasks) if tasks is not None else None
    if not (Path(model) / BEST).exists():
        return _whole(model, read, with_sweeps=with_sweeps, precision=precision, limit=limit)
    folder = Path(model).resolve()
    best = load_best(folder / BEST)
    own = best.trial.train.precision
    if precision is not None:
        raise ConfigError(
            bad_field("--precision", precision, allowed=f"left out: {BEST} has {own}")
        )
    with_sweeps = with_sweeps or read is None
    if with_sweeps and (problems := task_problems(best.trial.data)):
        raise all_problems(str(folder / BEST), problems)
    name = f"{best.trial.strategy.name} of {best.sweep}"
    return Asked(name, folder, best.trial, best.sweep, read, with_sweeps, own, limit)


def _whole(
    model: str,
    read: TasksConfig | None,
    *,
    with_sweeps: bool,
    precision: Precision | None,
    limit: int | None,
) -> Asked:
    if read is None or with_sweeps:
        raise ConfigError(
            f"{shown(model)} is no folder of `lnt export` ({BEST} is not in it), and so has no "
            "tasks of a sweep: name a file with --tasks, and leave out --sweep-tasks"
        )
    if not is_model_here(model):
        raise ConfigError(
            f"MODEL is {shown(model)!r}, which is neither a folder of `lnt export`, nor one with a "
            "config.json, nor in the local Hugging Face cache"
        )
    name = str(Path(model).resolve()) if is_folder(model) else model
    return Asked(name, None, None, None, read, False, precision or "fp32", limit)


def read_tasks(path: Path) -> TasksConfig:
    """Read a file of tasks; its paths are relative to it.

    Raises:
        ConfigError: It is invalid, or a task's files are missing or cannot be read.
    """
    content = anchored_tasks(load_yaml(path), path.resolve().parent)
    try:
        found = TasksConfig.model_validate(content)
    except ValidationError as error:
        raise all_problems(str(path), validation_problems(error, TasksConfig)) from None
    fields = {f"tasks[{number}]": task for number, task in enumerate(found.tasks)}
    if problems := problems_of(fields):
        raise all_problems(str(path), problems)
    return found


def score(given: Asked, out: Path, *, cache: Path, device: str, told: Any) -> Scored:
    """Score the model, or go on where an earlier call was killed.

    Args:
        given: What is asked for.
        out: Folder of answers and scores.
        cache: Folder kept between runs, where the tiny model and drawn scenes are.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        told: Follows the progress, as of `score_tasks`.

    Raises:
        LntError: The model cannot be loaded or scored, or ``out`` has the scores of another.
    """
    from lnt_core.devices.chosen import is_gpu
    from lnt_core.evaluation.loaded import load_export, load_whole
    from lnt_core.evaluation.ready import make_ready
    from lnt_core.evaluation.scoring import score_tasks

    if given.export is None and given.precision == "tf32" and not is_gpu(device):
        raise ConfigError(bad_field("--precision", "tf32", allowed="'fp32' or 'bf16' on a CPU"))
    _claim(out, given)
    tasks = _tasks(given, cache)
    if given.export is not None:
        assert given.trial is not None
        loaded = load_export(given.trial, given.export, cache=cache, device=device)
    else:
        whole = ModelConfig(checkpoint=given.name)
        loaded = load_whole(whole, cache=cache, device=device, precision=given.precision)
    trial = given.trial
    seed = 0 if trial is None else trial.seed
    length = TrainConfig.model_fields["max_length"].default
    if trial is not None:
        length = trial.train.max_length
    ready = []
    for prefix, task in tasks.items():
        if given.limit is not None:
            task.limit(given.limit)
        conversations = loaded.base.conversations
        ready.append(make_ready(task, prefix, conversations, seed=seed, max_length=length))
        ready[-1].told_in = out / BATCH_SIZES
    scores = score_tasks(loaded.model, loaded.store, ready, out, bf16=loaded.bf16, told=told)
    return Scored(given.name, given.sweep, scores)


def _tasks(given: Asked, cache: Path) -> dict[str, Any]:
    """The tasks by their prefixes, those of the sweep first."""
    from lnt_core.evaluation.ready import all_tasks, tasks_named
    from lnt_core.worker import located, with_images

    found = all_tasks(located(given.trial.data, cache)) if given.with_sweeps and given.trial else {}
    if given.tasks is None:
        return found
    own = tasks_named(with_images(task, cache) for task in given.tasks.tasks)
    if twice := found.keys() & own.keys():
        raise ConfigError(
            f"{', '.join(sorted(twice))} is a task of the sweep and of the file of tasks: give it "
            "another `name` there"
        )
    return found | own


def _claim(out: Path, given: Asked) -> None:
    """Write what is scored in a folder, unless that is written there already.

    Raises:
        ConfigError: Something else is scored there.
    """
    now = {
        "model": given.name,
        "precision": given.precision,
        "limit": given.limit,
        "files": _files(given.export or Path(given.name)),
    }
    create_output(out)
    try:
        before: Mapping[str, Any] | None = read_json(out / MODEL)
    except FileNotFoundError:
        before = None
    except DamagedError as error:
        raise ConfigError(f"{error}; choose another folder for -o") from None
    if before is None:
        if any(out.iterdir()):
            raise ConfigError(f"-o is {str(out)!r}, which has other files; choose another folder")
        write_json(out / MODEL, now)
    elif before != now:
        other = ", ".join(key for key in now if before.get(key) != now[key])
        raise ConfigError(
            f"-o is {str(out)!r}, where another evaluation was begun, which differs in {other}; "
            "choose another folder"
        )


def _files(folder: Path) -> dict[str, str]:
    """What tells weights apart: checksums of those in the folder, sizes of a checkpoint's."""
    if not folder.is_dir():
        return {}
    weights = sorted(folder.glob("*.safetensors"))
    if (folder / BEST).exists():
        return checksums(folder, weights)
    return {path.name: str(path.stat().st_size) for path in weights}
