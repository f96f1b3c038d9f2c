"""What winners and the untuned base score on the tasks that trials are not scored on.

<execution>/reported/<trial id, or base>/
    answers_*.jsonl, summary.json     as `lnt_core.evaluation.scoring` writes them
    ended.json                        all scores, and why some are missing
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json
from sweeps.storage.execution import Execution

REPORTED = "reported"
ENDED = "ended.json"


@dataclass(frozen=True)
class Reported:
    """How the scoring of one model has ended."""

    scores: dict[str, float] = field(default_factory=dict)
    """Every score by its metric."""
    error: str = ""
    """Why there are not all of them; `--resume` tries again."""


def reported_folder(execution: Execution, name: str) -> Path:
    """The folder of a trial's reported answers and scores, or of those of the base."""
    return execution.path / REPORTED / name


def reported(execution: Execution, name: str) -> Reported | None:
    """How the scoring of a trial, or of the base, has ended; None if it has not."""
    path = reported_folder(execution, name) / ENDED
    try:
        return Reported(**read_json(path))
    except FileNotFoundError:
        return None
    except DamagedError as error:
        set_aside(path, error.why, "it is made again from the answers beside it")
        return None


def all_reported(execution: Execution) -> dict[str, Reported]:
    """All that has ended, by trial id or ``base``."""
    names = sorted(path.parent.name for path in execution.path.glob(f"{REPORTED}/*/{ENDED}"))
    found = {name: reported(execution, name) for name in names}
    return {name: ended for name, ended in found.items() if ended is not None}


def write_reported(execution: Execution, name: str, ended: Reported) -> None:
    """Write how the scoring of a trial, or of the base, has ended."""
    write_json(reported_folder(execution, name) / ENDED, asdict(ended))


def forget_errors(execution: Execution) -> None:
    """Forget what has failed, so that it is tried again."""
    for name, ended in all_reported(execution).items():
        if ended.error:
            (reported_folder(execution, name) / ENDED).unlink()


def forget_reported(execution: Execution, name: str) -> None:
    """Forget the scores of a trial that is run again, whose weights may be others then."""
    shutil.rmtree(reported_folder(execution, name), ignore_errors=True)
