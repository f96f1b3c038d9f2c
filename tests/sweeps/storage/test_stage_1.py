"""The folder of stage 1: its events, and how it ended."""

import contextlib
import time

import pytest

from lnt_core.errors import LntError
from sweeps.storage.events import EVENTS, read_events
from sweeps.storage.execution import Execution
from sweeps.storage.stage_1 import (
    SPENT,
    stage_1_end,
    stage_1_folder,
    stage_1_gpu_s,
    stage_1_logged,
    stage_1_paid,
)

NAME = "abc"


def test_it_is_logged_once_and_says_how_it_ended(tmp_path) -> None:
    execution, told = Execution(tmp_path), []

    def attempt(steps: int, error: BaseException | None = None) -> None:
        with stage_1_logged(execution, NAME, lambda step, metrics: told.append(step)) as log:
            assert stage_1_end(execution, NAME) is None
            for step in range(1, steps + 1):
                log(step, {"train/loss": 1 / step})
            if error is not None:
                raise error

    assert stage_1_end(execution, NAME) is None
    with pytest.raises(KeyboardInterrupt):
        attempt(2, KeyboardInterrupt())
    assert stage_1_end(execution, NAME) is None
    with pytest.raises(LntError):
        attempt(3, LntError("diverged"))
    assert stage_1_end(execution, NAME) == "failed"
    attempt(4)
    assert stage_1_end(execution, NAME) == "finished"
    events = [event for event, _ in read_events(stage_1_folder(execution, NAME) / EVENTS)]
    assert [event.step for event in events] == [1, 2, 3, 4]
    assert told == [1, 2, 1, 2, 3, 1, 2, 3, 4]


def test_of_what_the_cache_had_nothing_is_logged(tmp_path) -> None:
    with stage_1_logged(Execution(tmp_path), NAME, lambda step, metrics: None):
        pass
    assert stage_1_end(Execution(tmp_path), NAME) == "finished"
    assert not (stage_1_folder(Execution(tmp_path), NAME) / EVENTS).exists()


def test_what_it_takes_adds_up_over_attempts_and_what_is_damaged_counts_no_more(tmp_path) -> None:
    execution, attempts = Execution(tmp_path), [(NAME, 2.0), (NAME, 2.0), ("other", 1.0)]
    assert stage_1_gpu_s(execution) == 0.0
    seen = [0.0]
    for name, gpus in attempts:
        with contextlib.suppress(KeyboardInterrupt), stage_1_paid(execution, name, gpus=gpus):
            time.sleep(0.02)
            raise KeyboardInterrupt
        seen.append(stage_1_gpu_s(execution))
        assert seen[-1] - seen[-2] >= 0.02 * gpus
    (stage_1_folder(execution, NAME) / SPENT).write_text("{")
    assert stage_1_gpu_s(execution) == pytest.approx(seen[3] - seen[2])  # of the other one
    with stage_1_paid(execution, "none", gpus=0):
        pass
    assert not stage_1_folder(execution, "none").exists()
