"""Requests to a running sweep: tags of its parent run, which the driver answers with tags.

Whoever may set tags may write anything there. What does not parse is answered as no request.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lnt_core.frozen import Frozen
from sweeps.results import tags as tag

if TYPE_CHECKING:
    from mlflow import MlflowClient


ASKED = tag.numbered(tag.REQUEST, "")
"""Prefix of the tag of a request, followed by the request's id."""
ANSWERED = tag.numbered(tag.ANSWER, "")
"""Prefix of the tag of an answer, followed by the request's id."""
POLL_S = 1.0
ID_CHARACTERS = 12
"""Hexadecimal digits of a request's id."""

MAX_CHARACTERS = 5000
"""Longest text of a request; MLflow's limit for the value of a tag."""


class Request(Frozen):
    """A request to stop a trial, or to run a copy of it with other values."""

    kind: Literal["stop", "clone"]
    trial: str = Field(max_length=64)
    """The trial's id."""
    changes: dict[str, Any] = Field(default_factory=dict, max_length=64)
    """New values for the clone, ``{"learning_rate": 3e-4, "train.epochs": 2, "rank": 16}``."""
    from_checkpoint: bool = False
    """Whether the clone starts from the trial's latest checkpoint."""


@dataclass(frozen=True)
class Asked:
    """What was found in a tag for requests."""

    id: str
    """The rest of the tag's name."""
    request: Request | None
    """None if the tag holds no request."""


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
    request_id = uuid.uuid4().hex[:ID_CHARACTERS]
    client.set_tag(parent_id, ASKED + request_id, request.model_dump_json())
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        run = client.get_run(parent_id)
        if told := run.data.tags.get(ANSWERED + request_id):
            return _answer_in(told)
        if run.info.status != "RUNNING":
            answer(client, parent_id, request_id, Answer(False, "the sweep has ended"))
            return Answer(False, "the sweep ended before its driver saw the request")
        time.sleep(POLL_S)
    answer(client, parent_id, request_id, Answer(False, "withdrawn"))
    return None


def unanswered(tags: Mapping[str, str]) -> list[Asked]:
    """What a parent run's tags ask that has no answer yet."""
    names = [key.removeprefix(ASKED) for key in sorted(tags) if key.startswith(ASKED)]
    return [
        Asked(name, _parsed(name, tags[ASKED + name]))
        for name in names
        if ANSWERED + name not in tags
    ]


def answer(client: "MlflowClient", parent_id: str, request_id: str, told: Answer) -> None:
    """Write the answer to a request as a tag of the parent run."""
    client.set_tag(parent_id, ANSWERED + request_id, json.dumps(asdict(told)))


def _answer_in(text: str) -> Answer:
    """The answer in a tag; a refusal if it is none."""
    try:
        return TypeAdapter(Answer).validate_json(text, strict=True)
    except ValidationError:
        return Answer(False, f"the tag for the answer holds no answer: {text[:200]!r}")


def _parsed(name: str, text: str) -> Request | None:
    """The request in a tag; None if it is none."""
    if not re.fullmatch(f"[0-9a-f]{{{ID_CHARACTERS}}}", name) or len(text) > MAX_CHARACTERS:
        return None
    try:
        return Request.model_validate_json(text, strict=True)
    except ValidationError:
        return None
