"""Trials that the sweep file does not have: beyond an edge, with a further seed, cloned.

Each stands in the execution's folder before it is run, so that a resumed sweep has it too.
"""

from dataclasses import asdict, dataclass
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.identity import trial_id
from sweeps.plan.space import NONE, Values
from sweeps.storage.execution import Execution, read_json, write_json

FOLDER = "added"
POINT = "added"
"""Key of a point of Ray Tune's that is such a trial; its value is the trial's id."""


@dataclass(frozen=True)
class Added:
    """One of them."""

    config: TrialConfig
    why: str
    """``edge``, ``seed`` or ``clone``."""
    values: Values = NONE
    """What tells it from others of its strategy, as for a trial of the file."""
    cloned_from: str = ""
    """The trial that somebody cloned."""
    request: str = ""
    """Who asked for the clone (``sweeps.requests``)."""

    @property
    def point(self) -> dict[str, Any]:
        """As it is handed to Ray Tune."""
        return {POINT: trial_id(self.config)}


def add(execution: Execution, added: Added) -> None:
    """Keep it; the same twice does no harm."""
    content = asdict(added) | {"config": added.config.model_dump(mode="json")}
    write_json(execution.path / FOLDER / f"{trial_id(added.config)}.json", content)


def take_back(execution: Execution, name: str) -> None:
    """It will not be run after all."""
    (execution.path / FOLDER / f"{name}.json").unlink(missing_ok=True)


def read_added(execution: Execution, name: str) -> Added | None:
    """The one of that id; None if the trial is of the sweep file."""
    path = execution.path / FOLDER / f"{name}.json"
    if not path.exists():
        return None
    content = read_json(path)
    values = tuple(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in content["values"]
    )
    config = TrialConfig.model_validate(content["config"])
    return Added(**content | {"config": config, "values": values})


def all_added(execution: Execution) -> dict[str, Added]:
    """By trial id, the oldest first."""
    paths = (execution.path / FOLDER).glob("*.json")
    names = [path.stem for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]
    return {name: added for name in names if (added := read_added(execution, name))}
