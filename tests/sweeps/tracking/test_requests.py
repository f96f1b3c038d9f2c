"""Requests to a running sweep, which are tags of its parent run."""

import json

from sweeps.tracking.requests import ANSWERED, ASKED, Request, ask, unanswered


def test_requests_without_an_answer_are_found_among_the_tags() -> None:
    first, second = Request("stop", "abc"), Request("clone", "def", {"rank": 4}, True)
    tags = {
        "lnt.kind": "sweep",
        ASKED + first.id: json.dumps(vars(first)),
        ASKED + second.id: json.dumps(vars(second)),
    }
    assert {request.id for request in unanswered(tags)} == {first.id, second.id}
    assert unanswered(tags | {ANSWERED + first.id: "{}"}) == [second]


def test_a_request_without_an_answer_in_time_is_withdrawn(client) -> None:
    parent_id = client.create_run(client.create_experiment("withdrawn")).info.run_id
    assert ask(client, parent_id, Request("stop", "abc"), timeout_s=0) is None
    assert unanswered(client.get_run(parent_id).data.tags) == []
