"""`micro_batch_size: auto`: which number a limit gives, and that a trial keeps its own."""

import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from lnt_core.accounting import micro_batch
from lnt_core.accounting.micro_batch import CHOSEN, SAFE_SHARE, as_begun, choose
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.damage import WAYS, set_aside
from tests.parts import TRAIN

pytestmark = pytest.mark.heavy

AUTO = TRAIN | {"micro_batch_size": "auto", "checkpoint_every_steps": 1}
REL = 1e-5
"""Losses of two micro batches are sums of the same float32 terms in another order: 1e-7 was seen.
A wrong divisor errs by a factor."""


def cost(size: int) -> StepCost:
    """7 GiB, and half a GiB a sample."""
    return StepCost(5.0, 4.0, 1.0, 1.0, 0.5 * size, flops=1.0)


def chosen(batch: int, room_gib: float, workers: int = 1) -> int:
    train = TrainConfig(batch_size=batch, micro_batch_size="auto")
    return choose(cost, train, room_gib=room_gib, workers=workers).size


@pytest.mark.parametrize("batch", [1, 7, 12, 128])
def test_it_is_the_largest_divisor_that_fits(batch) -> None:
    divisors = [size for size in range(1, batch + 1) if batch % size == 0]
    for tenths in range(60, 800, 5):
        room_gib = tenths / 10
        fits = [size for size in divisors if cost(size).peak_gib <= SAFE_SHARE * room_gib]
        assert chosen(batch, room_gib) == max(fits, default=1)


def test_it_is_no_more_than_a_workers_share_of_the_batch() -> None:
    assert [chosen(128, 1000, workers) for workers in (1, 3, 4, 200)] == [128, 32, 32, 1]


def test_a_limit_that_fits_nothing_gives_1_and_says_so() -> None:
    train = TrainConfig(batch_size=8, micro_batch_size="auto")
    found = choose(cost, train, room_gib=5.0)
    assert (found.size, found.fits) == (1, False)
    assert str(found) == (
        "1, found automatically: the predicted peak of 7.5 GiB is over the limit of 4.5 GiB (90% "
        "of the available memory), so it may run out of memory; no smaller size is possible"
    )


def test_a_whole_batch_that_fits_is_taken_although_its_half_does_not() -> None:
    """Nothing waits for the next micro-batch then, so its peak may be the lower one."""

    def unsplit_is_leaner(size: int) -> StepCost:
        return replace(cost(size), gradients_gib=0.0 if size == 4 else 3.0)

    train = TrainConfig(batch_size=4, micro_batch_size="auto")
    room_gib = unsplit_is_leaner(4).peak_gib / SAFE_SHARE
    assert unsplit_is_leaner(1).peak_gib > SAFE_SHARE * room_gib
    assert choose(unsplit_is_leaner, train, room_gib=room_gib).size == 4


@pytest.fixture
def losses(tmp_path):
    """Run a trial in a folder of that name, up to a step if one is given; its losses by step."""
    worker = Worker(tmp_path / "cache")

    def run(config, name: str, *, until: int | None = None, memory_gib=None) -> dict[int, float]:
        heard: dict[int, float] = {}

        def report(step: int, metrics: dict[str, float]) -> None:
            if "train/loss" in metrics:
                heard[step] = metrics["train/loss"]
            if step == until:
                raise KeyboardInterrupt  # the trial keeps what it has trained

        given = {"out": tmp_path / name, "report": report, "worker": worker}
        try:
            run_trial(config, **given, memory_gib=memory_gib)
        except KeyboardInterrupt:
            assert until is not None
        return heard

    return run


def kept(folder) -> int:
    return json.loads((folder / CHOSEN).read_text())["size"]


def test_a_trial_finds_it_and_trains_as_with_the_number_given(
    trial_config, losses, tmp_path
) -> None:
    config = trial_config(train=AUTO)
    found = losses(config, "auto")
    assert kept(tmp_path / "auto") == 4  # all of a batch of the tiny model fits any machine
    given = {size: trial_config(train=AUTO | {"micro_batch_size": size}) for size in (1, 4)}
    assert found == losses(given[4], "4")
    assert found == pytest.approx(losses(given[1], "1"), rel=REL)
    assert as_begun(config, tmp_path / "auto") == given[4]
    assert as_begun(config, tmp_path / "1") == config
    assert not (tmp_path / "1" / CHOSEN).exists()


def test_resumed_it_keeps_its_number_and_goes_on_bit_for_bit(
    trial_config, losses, tmp_path, caplog
) -> None:
    config = trial_config(train=AUTO)
    whole = losses(trial_config(train=AUTO | {"micro_batch_size": 1}), "whole")
    begun = losses(config, "cut", until=2, memory_gib=1e-6)
    assert kept(tmp_path / "cut") == 1
    assert "micro_batch_size 1, found automatically" in caplog.text
    assert "may run out" in caplog.text
    assert begun | losses(config, "cut", memory_gib=1000.0) == whole
    assert kept(tmp_path / "cut") == 1


@pytest.mark.parametrize("way", WAYS)
def test_with_its_number_damaged_it_starts_again(way, trial_config, losses, tmp_path) -> None:
    """From the start: with another number the losses would be rounded in another way."""
    config = trial_config(train=AUTO)
    losses(config, "cut", until=2, memory_gib=1e-6)
    WAYS[way](tmp_path / "cut" / CHOSEN, random.Random(1))
    assert losses(config, "cut") == losses(config, "whole")
    assert set_aside(tmp_path / "cut") == [f"{CHOSEN}.damaged-1"]


def test_another_trial_in_the_same_folder_finds_its_own(trial_config, losses, tmp_path) -> None:
    losses(trial_config(train=AUTO), "same", memory_gib=1e-6)
    losses(trial_config(train=AUTO, learning_rate=1e-4), "same")
    assert kept(tmp_path / "same") == 4


def test_its_metric_says_what_ran(trial_config, tmp_path) -> None:
    told: list[tuple[int, float]] = []

    def report(step: int, metrics: dict[str, float]) -> None:
        told.extend((step, n) for key, n in metrics.items() if key == "train/micro_batch_size")

    worker = Worker(tmp_path / "cache")
    run_trial(trial_config(train=AUTO), out=tmp_path / "auto", report=report, worker=worker)
    assert told == [(0, 4), (4, 4)]


def test_workers_agree_on_the_smallest(trial_config, losses, tmp_path, monkeypatch) -> None:
    def gather(item):
        """Another worker has nothing kept either, and room for two samples."""
        return [item] if item is None else [item, replace(item, size=2, peak_gib=9.0)]

    monkeypatch.setattr(micro_batch, "gather", gather)
    losses(trial_config(train=AUTO), "out")
    assert kept(tmp_path / "out") == 2


@pytest.mark.sweep
def test_from_a_shell_two_workers_take_their_share_of_the_batch(trial_config, tmp_path) -> None:
    config = trial_config(train=AUTO | {"deepspeed": "zero2"})
    file, out = tmp_path / "trial.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "lnt_core.trial", file, "--out", out, "--cache", tmp_path]
    done = subprocess.run([*command, "--memory-gib", "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert kept(out) == 2
    assert done.stderr.count("micro_batch_size 2, found automatically") == 1
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["train/micro_batch_size"] == 2
