"""What people ask of a running sweep: tags of its parent run, answered there by its driver."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sweeps.results import tags as tag

if TYPE_CHECKING:
    from mlflow import MlflowClient


ASKED = tag.numbered(tag.REQUEST, "")
"""What the tag of a request begins with; its id follows."""
ANSWERED = tag.numbered(tag.ANSWER, "")
POLL_S = 1.0


@dataclass(frozen=True)
class Request:
    """Stop a trial, or run a copy of it with other values."""

    kind: Literal["stop", "clone"]
    trial: str
    """Its id."""
    changes: dict[str, Any] = field(default_factory=dict)
    """``{"learning_rate": 3e-4, "train.epochs": 2, "rank": 16}``."""
    from_checkpoint: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True)
class Answer:
    """What the driver did."""

    ok: bool
    text: str


def ask(
    client: "MlflowClient", parent_id: str, request: Request, *, timeout_s: float
) -> Answer | None:
    """Write a request and wait for its answer; None, and it is withdrawn, if none comes."""
    client.set_tag(parent_id, ASKED + request.id, json.dumps(asdict(request)))
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        run = client.get_run(parent_id)
        if told := run.data.tags.get(ANSWERED + request.id):
            return Answer(**json.loads(told))
        if run.info.status != "RUNNING":
            answer(client, parent_id, request, Answer(False, "the sweep has ended"))
            return Answer(False, "the sweep ended before its driver saw the request")
        time.sleep(POLL_S)
    answer(client, parent_id, request, Answer(False, "withdrawn"))
    return None


def unanswered(tags: Mapping[str, str]) -> list[Request]:
    """Of a parent run's tags."""
    asked = [key.removeprefix(ASKED) for key in sorted(tags) if key.startswith(ASKED)]
    return [
        Request(**json.loads(tags[ASKED + name])) for name in asked if ANSWERED + name not in tags
    ]


def answer(client: "MlflowClient", parent_id: str, request: Request, told: Answer) -> None:
    """Answer a request; who asked reads it from the same run."""
    client.set_tag(parent_id, ANSWERED + request.id, json.dumps(asdict(told)))
