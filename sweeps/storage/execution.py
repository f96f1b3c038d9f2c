"""One execution of a sweep on disk: what `--resume` goes on from.

<storage>/<sweep>/<execution>/
    sweep.yaml, execution.json        what was asked for
    base.json, base/                  the untuned base's score; its captions, samples for the report
    trials/<trial id>/                written when the trial is planned: trial.yaml, origin.json;
                                      then events.jsonl, checkpoint.pt, result.json, ...
        tracked.json                  which MLflow run the trial is, and how far it was sent
    curve.png, best.yaml              the outcome
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from lnt_core import metrics as metric
from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.storage.format import FORMAT, check_format

RESULT = "result.json"
TRIAL = "trial.yaml"
BASE = "base"
"""Folder of what the untuned base gave; in MLflow too."""
TRACKED = "tracked.json"
KILLS = "killed_for_memory"
"""How often Ray's memory monitor killed the trial."""
RAN = "ran.yaml"
"""Beside it, if the trial ran with another micro batch than it asks for, or asked for `auto`: what
ran."""


class TrialStatus(StrEnum):
    """How a trial stands; in results, in the tag `lnt.status`, and in reports to Ray Tune."""

    PENDING = "pending"
    """Planned, and not started yet."""
    STARTING = "starting"
    """Its process has its resources, and has reported nothing yet."""
    RUNNING = "running"
    FINISHED = "finished"
    """Trained and scored; the only status with a score."""
    DIVERGED = "diverged"
    """Its loss was not finite, or far above its start."""
    STOPPED = "stopped"
    """Ended early by the scheduler, or by somebody (see ``Result.stopped_by``)."""
    FAILED = "failed"
    """It raised, or its process died too often; `--resume` tries it again."""
    INTERRUPTED = "interrupted"
    """The sweep was stopped while it ran; `--resume` goes on with it."""
    LEFT_OUT = "left_out"
    """The budget did not allow it to start."""
    DISK_FULL = "disk_full"
    """It could not write; it has no result, and the sweep ends."""


@dataclass(frozen=True)
class Result:
    """How a trial ended."""

    status: TrialStatus
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    note: str = ""
    """What is to be told of it: that it was tried again with half the micro batch."""
    node: str = ""
    """The IP address of the node it ran on."""
    stopped_by: str = ""
    """``user`` if somebody asked for it (`lnt trial stop`), not the scheduler."""
    took_s: float = 0.0
    """In its worker, without what a process that died had done before."""

    @property
    def score(self) -> float | None:
        """CIDEr x 100 on the split that chooses; only a finished trial has one."""
        finished = self.status == TrialStatus.FINISHED
        return self.metrics.get(metric.SELECT_CIDER) if finished else None


@dataclass(frozen=True)
class Execution:
    """The folder of one execution."""

    path: Path

    @property
    def id(self) -> str:
        """Its name: the time it was started."""
        return self.path.name

    def trial(self, trial_id: str) -> Path:
        """A trial's own folder."""
        return self.path / "trials" / trial_id

    def result(self, trial_id: str) -> Result | None:
        """How a trial ended; None if it has not."""
        path = self.trial(trial_id) / RESULT
        if not path.is_file():
            return None
        content = read_json(path)
        return Result(**content | {"status": TrialStatus(content["status"])})

    def results(self) -> dict[str, Result]:
        """Every trial that has ended, by its id."""
        found = ((p.parent.name, self.result(p.parent.name)) for p in self._result_files())
        return {trial_id: result for trial_id, result in found if result is not None}

    def _result_files(self) -> list[Path]:
        return sorted(self.path.glob(f"trials/*/{RESULT}"))

    def write_result(self, trial_id: str, result: Result) -> None:
        """Record how a trial ended, whole or not at all."""
        write_json(self.trial(trial_id) / RESULT, asdict(result))

    def forget_result(self, trial_id: str) -> None:
        """Let a trial be run again."""
        (self.trial(trial_id) / RESULT).unlink()
        (self.trial(trial_id) / KILLS).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second driver away from the same execution.

        Raises:
            ConfigError: One is at work already.
        """
        with (self.path / "driver.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"another `lnt run` is at work in {self.path}") from None
            yield


def new_execution(sweep: SweepConfig) -> Execution:
    """Make the folder of a new execution."""
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
        raise ConfigError(f"{parent} already has 99 executions of this second")
    (execution.path / "sweep.yaml").write_text(sweep_yaml(sweep), encoding="utf-8")
    write_json(
        execution.path / "execution.json",
        {"format": FORMAT, "sweep_sha256": _sha256(sweep)},
    )
    return execution


def latest_execution(sweep: SweepConfig) -> Execution:
    """The newest execution of this very sweep, to resume.

    Raises:
        ConfigError: There is none, or the sweep file has changed since.
    """
    parent = Path(sweep.tracking.storage).resolve() / sweep.name
    paths = sorted(p.parent for p in parent.glob("*/execution.json"))
    if not paths:
        raise ConfigError(f"there is nothing to resume in {parent}; run without --resume")
    check_format(
        read_json(paths[-1] / "execution.json").get("format"), f"the execution {paths[-1]}"
    )
    matching = [
        p for p in paths if read_json(p / "execution.json")["sweep_sha256"] == _sha256(sweep)
    ]
    if not matching:
        raise ConfigError(
            f"the sweep has changed since {paths[-1].name} was started: compare it with "
            f"{paths[-1] / 'sweep.yaml'}, or run without --resume"
        )
    return Execution(matching[-1])


def sweep_yaml(sweep: SweepConfig) -> str:
    """The resolved sweep, every default written out."""
    return yaml.safe_dump(sweep.model_dump(mode="json"), sort_keys=False)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1))


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def _sha256(sweep: SweepConfig) -> str:
    """Of everything that determines results; where they are kept may change."""
    content = sweep.model_dump_json(
        exclude={
            "tracking": True,
            "resources": True,
            "budget": True,
            "search": {"extend_at_edge"},  # adds trials, changes none
        }
    )
    return hashlib.sha256(content.encode()).hexdigest()
