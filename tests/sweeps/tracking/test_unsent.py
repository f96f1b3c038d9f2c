"""What is sent of a trial's events, while the trial writes, dies and cuts off what is damaged."""

import pytest

from lnt_core.errors import DamagedError
from sweeps.storage.events import EventLog
from sweeps.tracking.unsent import UnsentEvents


def write(path, *steps: int) -> None:
    log = EventLog(path)
    for step in steps:
        log.write(step, {"train/loss": 1 / step})
    log.close()


def sent(unsent: UnsentEvents) -> list[int]:
    heard = []
    unsent.send(heard.extend)
    return [event.step for event in heard]


def test_what_mlflow_has_is_not_sent_again(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    unsent = UnsentEvents(path, {"train/loss": 2})
    assert sent(unsent) == []
    write(path, 1, 2, 3)
    assert sent(unsent) == [3]
    write(path, 4)
    assert sent(unsent) == [4]
    assert sent(unsent) == []


def test_what_was_sent_is_not_read_again(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1, 2)
    unsent = UnsentEvents(path, {})
    assert sent(unsent) == [1, 2]
    write(path, 3)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert sent(unsent) == [3]


def test_what_could_not_be_sent_is_sent_again(tmp_path) -> None:
    write(tmp_path / "events.jsonl", 1, 2)
    unsent = UnsentEvents(tmp_path / "events.jsonl", {})
    with pytest.raises(ConnectionError):
        unsent.send(_away)
    assert sent(unsent) == [1, 2]


def _away(_) -> None:
    raise ConnectionError


@pytest.mark.parametrize("again", [(2, 3), (2, 3, 4, 5, 6)])
def test_steps_that_are_trained_again_are_not_sent_again(again, tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1)
    first = path.stat().st_size
    write(path, 2, 3, 4)
    unsent = UnsentEvents(path, {})
    assert sent(unsent) == [1, 2, 3, 4]
    with path.open("r+b") as file:
        file.truncate(first)
    write(path, *again)
    assert sent(unsent) == [step for step in again if step > 4]


def test_what_comes_before_the_damage_is_sent_and_the_rest_once_it_is_mended(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 1)
    after_first = path.read_bytes()
    write(path, 2)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    unsent, heard = UnsentEvents(path, {}), []
    for _ in range(2):
        with pytest.raises(DamagedError):
            unsent.send(heard.extend)
    assert [event.step for event in heard] == [1]
    write(path, 2, 3)  # the trial resumes
    assert path.read_bytes().startswith(after_first)
    assert sent(unsent) == [2, 3]
