"""Metrics on disk, whatever byte a kill tears them at."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.storage.events import EventLog, is_whole, read_events
from tests.damage import flip

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
    write(path, first=NUM_STEPS - 1)
    first, second, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:9])
    ((event, offset),) = read_events(path)
    assert (event.step, offset) == (NUM_STEPS - 1, len(first))
    with path.open("ab") as file:
        file.write(second[9:])
    assert [event.step for event, _ in read_events(path, offset)] == [NUM_STEPS]


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


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_byte_is_found_and_what_follows_is_cut_off_and_kept(data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        write(path, first=1)
        whole, text = content(path), bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(text) - 2), label="flipped at")
        text[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        path.write_bytes(text)
        lines = text[:at].count(b"\n")
        log = EventLog(path)
        assert content(path) == whole[:lines]
        assert log.last_step("train/loss") == (min(lines, NUM_STEPS) or -1)
        (aside,) = Path(folder).glob("*.damaged-1")
        assert path.read_bytes() + aside.read_bytes() == bytes(text)
        log.close()
        write(path, first=1)
        assert content(path) == whole


def test_a_step_is_whole_with_its_score_if_it_has_one(tmp_path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    assert log.whole_up_to([]) == 0
    log.write(3, {"train/loss": 1.0})
    assert (log.whole_up_to([]), log.whole_up_to([3])) == (3, 2)
    log.write(3, {"select/cider": 1.0})
    assert log.whole_up_to([3]) == 3


def test_the_events_of_a_trial_are_whole_up_to_its_end(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    assert not is_whole(path, steps=3)
    log = EventLog(path)
    log.write(3, {"train/loss": 1.0})
    assert not is_whole(path, steps=3)
    log.write(3, {"train/final_loss": 1.0})
    assert is_whole(path, steps=3)
    flip(path, random.Random(1))
    assert not is_whole(path, steps=3)
