"""Metrics on disk, whatever byte a kill tears them at."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.storage.events import EventLog, read_events

NUM_STEPS = 6


def write(path: Path, first: int) -> None:
    log = EventLog(path)
    for step in range(first, NUM_STEPS + 1):
        log.write(step, {"train/loss": 1 / step})
    log.write(NUM_STEPS, {"select/cider": 0.1 + 0.2})
    log.close()


def content(path: Path) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.metrics) for event, _ in read_events(path)]


@settings(max_examples=60)
@given(st.data())
def test_torn_at_any_byte_and_resumed_at_any_step_the_events_are_whole(data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        write(path, first=1)
        whole, size = content(path), path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(data.draw(st.integers(0, size), label="torn at"))
        left = len({step for step, _ in content(path)})
        write(path, first=data.draw(st.integers(1, left + 1), label="resumed at"))
        assert content(path) == whole


def test_a_torn_line_is_not_read_and_not_skipped(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'[1, 17, {"a": 1.0}]\n[2, 17, {"a": 2')
    ((event, offset),) = read_events(path)
    assert (event.step, offset) == (1, len(b'[1, 17, {"a": 1.0}]\n'))
    with path.open("ab") as file:
        file.write(b".0}]\n")
    assert [event.step for event, _ in read_events(path, offset)] == [2]


def test_other_metrics_of_a_step_are_written_beside_those_there(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write(3, {"train/loss": 1.0})
    log.write(3, {"train/loss": 1.0, "select/cider": 5.0})
    assert content(path) == [(3, {"train/loss": 1.0}), (3, {"select/cider": 5.0})]


def test_a_loss_that_is_no_number_is_kept(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).write(1, {"train/loss": float("nan")})
    ((_, metrics),) = content(path)
    assert metrics["train/loss"] != metrics["train/loss"]


def test_a_log_that_was_never_written_to_has_no_events(tmp_path) -> None:
    EventLog(tmp_path / "events.jsonl").close()
    assert content(tmp_path / "events.jsonl") == []
