"""The folder of stage 1: its events, and how it ended."""

import pytest

from lnt_core.errors import LntError
from sweeps.storage.events import EVENTS, read_events
from sweeps.storage.execution import Execution
from sweeps.storage.stage_1 import stage_1_end, stage_1_folder, stage_1_logged


def test_it_is_logged_once_and_says_how_it_ended(tmp_path) -> None:
    execution, told = Execution(tmp_path), []

    def attempt(steps: int, error: BaseException | None = None) -> None:
        with stage_1_logged(execution, lambda step, metrics: told.append(step)) as log:
            assert stage_1_end(execution) is None
            for step in range(1, steps + 1):
                log(step, {"train/loss": 1 / step})
            if error is not None:
                raise error

    assert stage_1_end(execution) is None
    with pytest.raises(KeyboardInterrupt):
        attempt(2, KeyboardInterrupt())
    assert stage_1_end(execution) is None
    with pytest.raises(LntError):
        attempt(3, LntError("diverged"))
    assert stage_1_end(execution) == "failed"
    attempt(4)
    assert stage_1_end(execution) == "finished"
    events = [event for event, _ in read_events(stage_1_folder(execution) / EVENTS)]
    assert [event.step for event in events] == [1, 2, 3, 4]
    assert told == [1, 2, 1, 2, 3, 1, 2, 3, 4]


def test_of_what_the_cache_had_nothing_is_logged(tmp_path) -> None:
    with stage_1_logged(Execution(tmp_path), lambda step, metrics: None):
        pass
    assert stage_1_end(Execution(tmp_path)) == "finished"
    assert not (stage_1_folder(Execution(tmp_path)) / EVENTS).exists()
