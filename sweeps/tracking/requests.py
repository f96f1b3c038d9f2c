"""Requests to a running sweep: tags of its parent run, which the driver answers with tags."""

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
"""Prefix of the tag of a request, followed by the request's id."""
ANSWERED = tag.numbered(tag.ANSWER, "")
"""Prefix of the tag of an answer, followed by the request's id."""
POLL_S = 1.0


@dataclass(frozen=True)
class Request:
    """A request to stop a trial, or to run a copy of it with other values."""

    kind: Literal["stop", "clone"]
    trial: str
    """The trial's id."""
    changes: dict[str, Any] = field(default_factory=dict)
    """New values for the clone, ``{"learning_rate": 3e-4, "train.epochs": 2, "rank": 16}``."""
    from_checkpoint: bool = False
    """Whether the clone starts from the trial's latest checkpoint."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True)
class Answer:
    """The driver's answer to a request."""

    ok: bool
    """Whether the request was carried out."""
    text: str
    """What was done, or why not."""


def ask(
    client: "MlflowClient", parent_id: str, request: Request, *, timeout_s: float
) -> Answer | None:
    """Write a request and wait for its answer.

    Args:
        client: The tracking store's client.
        parent_id: The sweep's parent run.
        request: The request.
        timeout_s: Seconds to wait for the answer.

    Returns:
        The answer; None if there was none in time, in which case the request is withdrawn.
    """
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
    """The requests in a parent run's tags that have no answer yet."""
    asked = [key.removeprefix(ASKED) for key in sorted(tags) if key.startswith(ASKED)]
    return [
        Request(**json.loads(tags[ASKED + name])) for name in asked if ANSWERED + name not in tags
    ]


def answer(client: "MlflowClient", parent_id: str, request: Request, told: Answer) -> None:
    """Write the answer to a request as a tag of the parent run."""
    client.set_tag(parent_id, ANSWERED + request.id, json.dumps(asdict(told)))
