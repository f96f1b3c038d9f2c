"""The folder of one execution of a sweep, from which `--resume` continues.

<storage>/<sweep>/<execution>/
    sweep.yaml, execution.json        the resolved sweep file; its hash and the format number
    base.json, base/                  metrics of the untuned base; its captions, the report images
    trials/<trial id>/                trial.yaml, origin.json: written when the trial is planned
                                      events.jsonl, checkpoint.pt, result.json, ...: when it runs
        tracked.json                  the trial's MLflow run
    reported/<trial id, or base>/     what only winners and the base are scored on
    curve.png, best.yaml              written when the sweep has ended

What happens to each file when it is damaged: docs/damaged-files.md.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnt_core import metrics as metric
from lnt_core.errors import ConfigError, DamagedError
from lnt_core.files import (
    CRC32,
    checksums,
    parsed_json,
    read_json,
    read_yaml,
    set_aside,
    write_json,
    write_yaml,
)
from sweeps.config import SweepConfig
from sweeps.storage.format import FORMAT, check_format

EXECUTION = "execution.json"
SWEEP = "sweep.yaml"
RESULT = "result.json"
TRIAL = "trial.yaml"
CAPTIONING = "captioning.json"
"""How many images the processes of trials can caption at once, once memory has run out."""
BASE_SCORES = "base.json"
TASKS = "tasks.json"
"""In the folder of the untuned base: each task with its prompt, its number of questions, and a hash
of prompt, options and annotation files."""
BASE = "base"
"""Folder of the untuned base's captions and the report's samples, also in MLflow."""
TRACKED = "tracked.json"
"""In a trial's folder: its MLflow run, and whether that has been closed."""
KILLS = "killed_for_memory"
"""In a trial's folder: how many times Ray's memory monitor killed the trial."""
RAN = "ran.yaml"
"""Beside ``trial.yaml``: the config with the micro-batch size that was used, if that was found for
`auto` or reduced for lack of memory."""


class TrialStatus(StrEnum):
    """The status of a trial in results, in the tag `lnt.status`, and in reports to Ray Tune."""

    PENDING = "pending"
    """Planned but not started."""
    STARTING = "starting"
    """Its process has started but has reported nothing."""
    RUNNING = "running"
    FINISHED = "finished"
    """Trained and scored; the only status with a score."""
    DIVERGED = "diverged"
    """Its loss was not finite, or far above that of the first steps."""
    STOPPED = "stopped"
    """Ended early by the scheduler or the user (see ``Result.stopped_by``)."""
    FAILED = "failed"
    """It raised an error, or its process died too often; `--resume` runs it again."""
    INTERRUPTED = "interrupted"
    """The sweep was stopped while it ran; `--resume` continues it."""
    LEFT_OUT = "left_out"
    """Not started, because it would have exceeded the budget."""
    DISK_FULL = "disk_full"
    """It could not write to a full disk; it has no result, and the sweep ends."""
    NODE_REFUSED = "node_refused"
    """Its node is not fit for the sweep; it has no result, and runs on another."""


@dataclass(frozen=True)
class Result:
    """How a trial ended."""

    status: TrialStatus
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    note: str = ""
    """Message for the user: that it was run again with a smaller micro-batch size, or why it has no
    analysis."""
    node: str = ""
    """The IP address of the node it ran on."""
    stopped_by: str = ""
    """``user`` if it was stopped by `lnt trial stop`; empty otherwise."""
    took_s: float = 0.0
    """Seconds of the last attempt, without earlier attempts whose process died."""
    files: dict[str, str] = field(default_factory=dict)
    """Checksums of captions, analysis and weights, by their paths in the trial's folder."""

    @property
    def objective(self) -> metric.Objective | None:
        """What the trial was scored by; None unless it finished."""
        name = metric.objective_in(self.metrics) if self.status == TrialStatus.FINISHED else None
        return None if name is None else metric.OBJECTIVES[name]

    @property
    def score(self) -> float | None:
        """Score on the task that chooses; None unless the trial finished."""
        return None if self.objective is None else self.metrics[self.objective.metric]

    @property
    def merit(self) -> float | None:
        """A number that is higher for a better score; None unless the trial finished."""
        objective, score = self.objective, self.score
        return None if objective is None or score is None else objective.merit(score)


@dataclass(frozen=True)
class Execution:
    """The folder of one execution of a sweep."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, which is the time of the start."""
        return self.path.name

    def trial(self, trial_id: str) -> Path:
        """The folder of a trial."""
        return self.path / "trials" / trial_id

    def result(self, trial_id: str) -> Result | None:
        """How a trial ended; None if it has not ended.

        Raises:
            DamagedError: The file is damaged; :func:`sweeps.storage.mending.mend` sees to that.
        """
        path = self.trial(trial_id) / RESULT
        if not path.is_file():
            return None
        content = read_json(path)
        return Result(**content | {"status": TrialStatus(content["status"])})

    def results(self) -> dict[str, Result]:
        """The results of all trials that have ended, by trial id."""
        found = ((p.parent.name, self.result(p.parent.name)) for p in self._result_files())
        return {trial_id: result for trial_id, result in found if result is not None}

    def _result_files(self) -> list[Path]:
        return sorted(self.path.glob(f"trials/*/{RESULT}"))

    def write_result(self, trial_id: str, result: Result) -> None:
        """Write how a trial ended, atomically."""
        write_json(self.trial(trial_id) / RESULT, asdict(result))

    def forget_result(self, trial_id: str) -> None:
        """Delete a trial's result, so that it is run again."""
        (self.trial(trial_id) / RESULT).unlink(missing_ok=True)
        (self.trial(trial_id) / KILLS).unlink(missing_ok=True)

    def base_scores(self) -> dict[str, float] | None:
        """Metrics of the untuned base; None if it has not been scored."""
        path = self.path / BASE_SCORES
        return read_json(path)["scores"] if path.exists() else None

    def base_note(self) -> str:
        """Why the untuned base lacks scores; empty if it does not, or has yet to be scored."""
        path = self.path / BASE_SCORES
        return str(read_json(path).get("note", "")) if path.exists() else ""

    def write_base(self, scores: dict[str, float], note: str = "") -> None:
        """Write the metrics of the untuned base, with checksums of what is in its folder."""
        folder = self.path / BASE
        files = checksums(folder, (path for path in folder.iterdir() if path.is_file()))
        write_json(self.path / BASE_SCORES, {"scores": scores, "note": note, "files": files})

    def forget_base(self) -> None:
        """Delete the metrics of the untuned base, so that it is scored again."""
        (self.path / BASE_SCORES).unlink(missing_ok=True)

    @property
    def is_tracked(self) -> bool:
        """Whether MLflow has had a run of one of its trials."""
        return any(self.path.glob(f"trials/*/{TRACKED}*"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the execution, so that no second driver can use it.

        Raises:
            ConfigError: Another driver holds the lock.
        """
        with (self.path / "driver.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"another `lnt run` is running in {self.path}") from None
            yield


def new_execution(sweep: SweepConfig) -> Execution:
    """Create the folder of a new execution.

    Raises:
        ConfigError: 99 executions were started in this second.
    """
    parent = Path(sweep.tracking.storage).resolve() / sweep.name
    parent.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        try:
            (parent / (name + suffix)).mkdir()
        except FileExistsError:
            continue
        execution = Execution(parent / (name + suffix))
        break
    else:
        raise ConfigError(f"{parent} already has 99 executions started in this second")
    write_yaml(execution.path / SWEEP, sweep.model_dump(mode="json"))
    write_json(execution.path / EXECUTION, _head(sweep))
    return execution


def latest_execution(sweep: SweepConfig) -> Execution:
    """The latest execution of exactly this sweep, to be resumed.

    Raises:
        ConfigError: There is none, the sweep file has changed since, the execution was written in
            another format, or it is damaged beyond telling whether it is one of this sweep.
    """
    parent = Path(sweep.tracking.storage).resolve() / sweep.name
    paths = sorted((p.parent for p in parent.glob(f"*/{EXECUTION}")), reverse=True)
    for path in paths:
        head = _read_head(path)
        matches = head.get("sweep_sha256") == _sha256(sweep)
        if matches or path == paths[0]:
            check_format(head.get("format"), f"the execution {path}")
        if matches:
            return Execution(path)
    if not paths:
        raise ConfigError(f"{parent} has no execution to resume; run without --resume")
    raise ConfigError(
        f"the sweep has changed since {paths[0].name} was started: compare it with "
        f"{paths[0] / SWEEP}, or run without --resume"
    )


def _head(sweep: SweepConfig) -> dict[str, Any]:
    return {"format": FORMAT, "sweep_sha256": _sha256(sweep)}


def _read_head(folder: Path) -> dict[str, Any]:
    """The content of ``execution.json``; if that is damaged, what it was by the sweep file."""
    path = folder / EXECUTION
    try:
        return read_json(path)
    except DamagedError as error:
        if (older := _without_checksum(path)) is not None:
            return older
        why = error.why
    try:
        sweep = SweepConfig.model_validate(read_yaml(folder / SWEEP))
    except (DamagedError, FileNotFoundError, ValidationError):
        raise ConfigError(
            f"{path} is damaged ({why}), and so is {SWEEP} beside it: it cannot be told whether "
            f"{folder.name} is an execution of this sweep; move its folder away, or run without "
            "--resume"
        ) from None
    return _head(sweep)


def mend_head(folder: Path, sweep: SweepConfig) -> None:
    """Write ``execution.json`` again if it is damaged; ``sweep``: that of the execution."""
    path = folder / EXECUTION
    try:
        read_json(path)
    except DamagedError as error:
        set_aside(path, error.why, "it has been written again")
        write_json(path, _head(sweep))


def _without_checksum(path: Path) -> dict[str, Any] | None:
    """The content of a file that another format wrote, without a checksum; None if it is none."""
    try:
        content = parsed_json(path.read_bytes(), path)
    except DamagedError:
        return None
    is_other = isinstance(content, dict) and CRC32 not in content
    return content if is_other and content.get("format") != FORMAT else None


def _sha256(sweep: SweepConfig) -> str:
    """Hash of all keys that determine the trials; the others may change before a resume."""
    content = sweep.model_dump_json(
        exclude={
            "tracking": True,
            "resources": True,
            "budget": True,
            "align": {"workers"},
            "search": {"extend_at_edge"},  # adds trials, changes none
        }
    )
    return hashlib.sha256(content.encode()).hexdigest()
