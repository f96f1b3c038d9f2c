"""Checkpoints: written atomically, and resumed with the rate and decay of the config."""

import pytest
import torch
from torch import nn

from lnt_core.config import TrainConfig
from lnt_core.seeding import random_states, set_random_states
from lnt_core.strategies import get_strategy
from lnt_core.training.checkpoints import (
    TrainingState,
    load_checkpoint,
    save_atomically,
    save_checkpoint,
)
from lnt_core.training.engine import schedule
from lnt_core.training.optimizer import adamw

OWN = torch.ones(16, dtype=torch.uint8)


def test_a_failed_checkpoint_leaves_the_one_before(tmp_path, monkeypatch) -> None:
    path = tmp_path / "c.pt"
    save_atomically({"step": 1}, path)

    def fail(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_atomically({"step": 2}, path)
    monkeypatch.undo()
    assert torch.load(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def training(rate: float, weight_decay: float, *, num_done: int) -> TrainingState:
    """A training of ten steps with two parameters, after ``num_done`` of them."""
    model, config = nn.Linear(1, 1), TrainConfig(max_steps=10, weight_decay=weight_decay)
    optimizer = adamw(list(model.parameters()), config, on_gpu=False, learning_rate=rate)
    state = TrainingState(
        model, get_strategy("full"), optimizer, schedule(optimizer, config, total=10)
    )
    for _ in range(num_done):
        advance(state)
    return state


def advance(state: TrainingState) -> None:
    state.optimizer.zero_grad()
    state.model(torch.ones(1, 1)).sum().backward()
    state.optimizer.step()
    state.schedule.step()


def rate_and_decay(state: TrainingState) -> tuple[float, float, float]:
    (group,) = state.optimizer.param_groups
    return group["lr"], state.schedule.get_last_lr()[0], group["weight_decay"]


def test_from_another_trials_checkpoint_rate_and_decay_are_those_of_the_config(tmp_path) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, training(1e-3, 0.0, num_done=4), step=4, monitor={"first": [1.0]})
    started = training(2e-3, 0.1, num_done=0)
    assert load_checkpoint(path, started) == (4, {"first": [1.0]})
    for num_done in (4, 5, 6):
        assert rate_and_decay(started) == rate_and_decay(training(2e-3, 0.1, num_done=num_done))
        advance(started)


def test_of_a_machines_gpus_only_the_trials_own_has_its_random_state_kept(
    tmp_path, monkeypatch
) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [torch.zeros(16)] * 8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: asked.append(device) or OWN)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda rng, device: asked.append(rng.tolist()))
    on_cpu = tmp_path / "cpu.pt"
    save_checkpoint(on_cpu, training(1e-3, 0.0, num_done=1), step=1, monitor={})
    assert torch.load(on_cpu)["cuda_rng"] is None
    load_checkpoint(on_cpu, training(1e-3, 0.0, num_done=0))
    assert asked == []
    states = random_states("cuda:1")
    set_random_states(states, "cuda:0")  # another visible GPU after a restart
    assert asked == ["cuda:1", OWN.tolist()]
