"""Progress of a sweep, read from its MLflow runs."""

from dataclasses import replace

import pytest

from sweeps.results.progress import clock, read_snapshot


def test_a_snapshot_counts_what_runs_and_what_is_to_come(running) -> None:
    snapshot = read_snapshot(running.client, running.name)
    assert snapshot.counts == {"finished": 1, "running": 1, "pending": 2}
    (trial,) = snapshot.running
    assert (trial.name, trial.progress, trial.loss) == ("full lr=1e-4", "25/100", 0.5)
    assert [winner.trial.score for winner in snapshot.sweep.winners] == [80.0]


def test_what_is_left_follows_the_trials_that_finished(running) -> None:
    """2.75 trials are left, at 10 s each, one at a time."""
    assert read_snapshot(running.client, running.name).left_s == pytest.approx(27.5)


def test_nothing_is_promised_before_a_trial_has_finished(running) -> None:
    snapshot = read_snapshot(running.client, running.name)
    only = {running.running: snapshot.trials[running.running]}
    assert replace(snapshot, trials=only).left_s is None


@pytest.mark.parametrize(("seconds", "told"), [(0, "0:00"), (59.9, "0:59"), (3600, "1:00:00")])
def test_times_are_short(seconds, told) -> None:
    assert clock(seconds) == told
