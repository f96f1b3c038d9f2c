"""Requests to a running sweep, which are tags of its parent run."""

import threading

import pytest

from sweeps.tracking import requests
from sweeps.tracking.requests import ANSWERED, ASKED, Asked, Request, ask, unanswered


def test_requests_without_an_answer_are_found_among_the_tags() -> None:
    first = Request(kind="stop", trial="abc")
    second = Request(kind="clone", trial="def", changes={"rank": 4}, from_checkpoint=True)
    tags = {
        "lnt.kind": "sweep",
        ASKED + "0" * 12: first.model_dump_json(),
        ASKED + "a" * 12: second.model_dump_json(),
        ASKED + "note": "please stop lora",
    }
    found = [Asked("0" * 12, first), Asked("a" * 12, second), Asked("note", None)]
    assert unanswered(tags) == found
    assert unanswered(tags | {ANSWERED + "0" * 12: "{}"}) == found[1:]


def test_a_request_without_an_answer_in_time_is_withdrawn(client) -> None:
    parent_id = client.create_run(client.create_experiment("withdrawn")).info.run_id
    assert ask(client, parent_id, Request(kind="stop", trial="abc"), timeout_s=0) is None
    assert unanswered(client.get_run(parent_id).data.tags) == []


@pytest.mark.parametrize("junk", ["done", "[]", '{"ok": 1, "text": "done"}', "{}"])
def test_an_answer_that_is_none_is_told_as_it_stands(client, junk, monkeypatch) -> None:
    monkeypatch.setattr(requests, "POLL_S", 0.01)
    parent_id = client.create_run(client.create_experiment(f"junk {junk}")).info.run_id

    def write_junk() -> None:
        while not (asked := unanswered(client.get_run(parent_id).data.tags)):
            pass
        client.set_tag(parent_id, ANSWERED + asked[0].id, junk)

    somebody = threading.Thread(target=write_junk)
    somebody.start()
    told = ask(client, parent_id, Request(kind="stop", trial="abc"), timeout_s=30)
    somebody.join()
    assert told is not None
    assert not told.ok
    assert repr(junk) in told.text
