"""When checkpoints are written, with a clock of its own."""

import pytest

from lnt_core.config import TrainConfig
from lnt_core.training import checkpoint_times
from lnt_core.training.checkpoint_times import LEAST_S, MAX_SHARE, CheckpointTimes

YEAR_S = 3.2e7


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now_s = YEAR_S

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds


def written(config: TrainConfig, *, step_s: float, write_s: float, num_steps: int) -> list[int]:
    """The steps after which a training that takes ``step_s`` for each writes a checkpoint."""
    clock, found = Clock(), []
    times = CheckpointTimes(config, lambda value: value, clock=clock)
    for step in range(1, num_steps + 1):
        clock.passes(step_s)
        if times.due(step):
            found.append(step)
            times.write(lambda: clock.passes(write_s))
    return found


def test_by_steps_time_does_not_matter() -> None:
    by_steps = TrainConfig(checkpoint_every_steps=3)
    assert written(by_steps, step_s=1000, write_s=1000, num_steps=10) == [3, 6, 9]


def test_by_time_the_seconds_given_lie_between_the_end_of_one_and_the_start_of_the_next() -> None:
    by_time = TrainConfig(checkpoint_every_s=2.5)
    assert written(by_time, step_s=1, write_s=75, num_steps=10) == [3, 6, 9]


def test_by_default_a_small_checkpoint_is_written_every_half_a_minute() -> None:
    assert written(TrainConfig(), step_s=10, write_s=0.01, num_steps=9) == [3, 6, 9]
    assert LEAST_S == 30


@pytest.mark.parametrize("write_s", [3, 75])
def test_by_default_a_large_one_takes_at_most_its_share_of_the_time(write_s) -> None:
    first, *later = written(TrainConfig(), step_s=5, write_s=write_s, num_steps=3000)
    assert first == 6
    spent_s = len(later) * write_s
    trained_s = (later[-1] - first) * 5
    assert 0.9 * MAX_SHARE < spent_s / (trained_s + spent_s) <= MAX_SHARE


def test_the_clock_of_rank_0_decides_for_all_workers(monkeypatch) -> None:
    clocks = Clock(), Clock()
    config, told = TrainConfig(checkpoint_every_s=10), []

    def at(rank: int) -> CheckpointTimes:
        def summed(value: float) -> float:
            told.append(value)
            return sum(told)

        return CheckpointTimes(config, summed, clock=clocks[rank])

    workers = at(0), at(1)
    for passed_s, due in (((1, 99), False), ((9, 0), True)):
        told.clear()
        answers = []
        for rank, worker in enumerate(workers):
            monkeypatch.setattr(checkpoint_times, "is_first", lambda rank=rank: rank == 0)
            clocks[rank].passes(passed_s[rank])
            answers.append(worker.due(step=1))
        assert answers == [due, due]
        assert len(told) == 2  # both took part in the sum
