"""A trial resumes from its last whole checkpoint, whichever is damaged."""

import random

import pytest
import torch

from lnt_core.training.checkpoints import previous, save_atomically, save_checkpoint, step_of
from lnt_core.training.recovery import (
    COMPLETE,
    complete_steps,
    forget_checkpoints,
    forget_steps,
    is_kept,
    settle_checkpoint,
)
from tests.damage import WAYS, set_aside
from tests.lnt_core.training.test_checkpoints import training

ALL = 10**9


@pytest.fixture
def path(tmp_path):
    """A trial with checkpoints of steps 3 and 6; that of step 0 is gone."""
    path = tmp_path / "checkpoint.pt"
    for step in (0, 3, 6):
        save_checkpoint(path, training(1e-3, 0.0, num_done=step), step=step, monitor={})
    return path


def write_shards(folder, step: int, *, complete: bool = True) -> None:
    """What two workers write of a step."""
    forget_steps(folder, keep=1)
    own = folder / f"step-{step}"
    for worker in (0, 1):
        save_atomically({"step": step, "part": torch.ones(9)}, own / f"worker-{worker}.pt")
    if complete:
        files = {file.name: file.stat().st_size for file in own.iterdir()}
        save_atomically({"step": step, "files": files}, own / COMPLETE)


@pytest.fixture
def sharded(tmp_path):
    """The same, of several workers."""
    for step in (0, 3, 6):
        write_shards(tmp_path / "checkpoint", step)
    return tmp_path / "checkpoint.pt"


def test_the_last_two_are_kept_and_the_last_is_taken(path) -> None:
    assert [step_of(path), step_of(previous(path))] == [6, 3]
    assert settle_checkpoint(path, at_most=ALL) == 6


@pytest.mark.parametrize("way", WAYS)
def test_the_one_before_is_taken_where_the_last_is_damaged(way, path, caplog) -> None:
    WAYS[way](path, random.Random(3))
    assert settle_checkpoint(path, at_most=ALL) == 3
    assert step_of(path) == 3
    assert set_aside(path.parent) == ["checkpoint.pt.damaged-1"]
    assert len(caplog.messages) == 1
    save_checkpoint(path, training(1e-3, 0.0, num_done=6), step=6, monitor={})
    assert step_of(previous(path)) == 3


@pytest.mark.parametrize("way", WAYS)
def test_with_both_damaged_it_starts_again(way, path) -> None:
    for file in (path, previous(path)):
        WAYS[way](file, random.Random(3))
    assert settle_checkpoint(path, at_most=ALL) is None
    assert not is_kept(path)
    assert len(set_aside(path.parent)) == 2


def test_a_kill_between_the_two_renames_costs_nothing(path) -> None:
    path.unlink()
    assert is_kept(path)
    assert settle_checkpoint(path, at_most=ALL) == 3
    assert step_of(path) == 3


@pytest.mark.parametrize(("at_most", "taken"), [(7, 6), (6, 6), (5, 3), (2, None)])
@pytest.mark.parametrize("kind", ["path", "sharded"])
def test_a_checkpoint_ahead_of_the_metrics_is_not_taken(kind, at_most, taken, request) -> None:
    path = request.getfixturevalue(kind)
    assert settle_checkpoint(path, at_most=at_most) == taken


def test_of_shards_the_last_complete_step_is_taken(sharded) -> None:
    folder = sharded.with_suffix("")
    assert [step.name for step in complete_steps(folder)] == ["step-6", "step-3"]
    write_shards(folder, 9, complete=False)
    assert [step.name for step in complete_steps(folder)] == ["step-6"]
    assert settle_checkpoint(sharded, at_most=ALL) == 6


def test_of_shards_step_10_is_later_than_step_9(tmp_path) -> None:
    folder = tmp_path / "checkpoint"
    for step in (8, 9, 10):
        write_shards(folder, step)
    assert [step.name for step in complete_steps(folder)] == ["step-10", "step-9"]
    assert settle_checkpoint(tmp_path / "checkpoint.pt", at_most=ALL) == 10


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["worker-0.pt", "worker-1.pt", COMPLETE])
def test_of_shards_the_step_before_is_taken_where_one_is_damaged(name, way, sharded) -> None:
    folder = sharded.with_suffix("")
    WAYS[way](folder / "step-6" / name, random.Random(5))
    assert settle_checkpoint(sharded, at_most=ALL) == 3
    assert set_aside(folder) == ["step-6.damaged-1"]


def test_of_an_ended_trial_nothing_is_left(path, sharded) -> None:
    WAYS["flip"](path, random.Random(0))
    settle_checkpoint(path, at_most=2)
    forget_checkpoints(path)
    assert list(path.parent.iterdir()) == []
