"""`auto` in a training config: what a limit gives, and that a trial keeps what it found."""

import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from lnt_core.accounting import micro_batch
from lnt_core.accounting.auto import SAFE_SHARE, choose
from lnt_core.accounting.micro_batch import CHOSEN, as_begun
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig, TuneConfig
from lnt_core.files import write_json
from lnt_core.identity import trial_id
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.damage import WAYS, set_aside
from tests.parts import TRAIN

pytestmark = pytest.mark.heavy

AUTO = TRAIN | {"micro_batch_size": "auto", "checkpoint_every_steps": 1}
CHECKPOINTS = TRAIN | {"gradient_checkpointing": "auto", "checkpoint_every_steps": 1}
REL = 1e-5
"""Losses of two micro batches are sums of the same float32 terms in another order: 1e-7 was seen.
A wrong divisor errs by a factor."""


def cost(size: int, on: bool = True) -> StepCost:
    """7 GiB, and half a GiB a sample, or two without checkpointing."""
    return StepCost(5.0, 4.0, 1.0, 1.0, (0.5 if on else 2.0) * size, flops=1.0)


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
        "1 with gradient checkpointing, found automatically: the predicted peak of 7.5 GiB (9 GiB "
        "without it) is over the limit of 4.5 GiB (90% of the available memory), so it may run out "
        "of memory; no smaller size is possible"
    )


def test_a_whole_batch_that_fits_is_taken_although_its_half_does_not() -> None:
    """Nothing waits for the next micro-batch then, so its peak may be the lower one."""

    def unsplit_is_leaner(size: int, on: bool = True) -> StepCost:
        return replace(cost(size), gradients_gib=0.0 if size == 4 else 3.0)

    train = TrainConfig(batch_size=4, micro_batch_size="auto")
    room_gib = unsplit_is_leaner(4).peak_gib / SAFE_SHARE
    assert unsplit_is_leaner(1).peak_gib > SAFE_SHARE * room_gib
    assert choose(unsplit_is_leaner, train, room_gib=room_gib).size == 4


@pytest.mark.parametrize(
    ("size", "limit_gib", "expected"),
    [
        # 7 GiB, and for a sample 2 GiB without checkpointing or 0.5 GiB with it
        (4, 15.0, (4, False)),
        (4, 14.9, (4, True)),
        (4, 8.0, (4, True)),  # neither fits: it may
        ("auto", 40.0, (16, False)),
        ("auto", 15.0, (4, False)),  # 16 would fit with it, but 4 are enough
        ("auto", 14.9, (8, True)),
        ("auto", 9.0, (4, True)),
        ("auto", 7.0, (1, True)),
    ],
)
def test_it_checkpoints_only_where_the_step_would_not_fit(size, limit_gib, expected) -> None:
    train = TuneConfig(batch_size=16, micro_batch_size=size)
    found = choose(cost, train, room_gib=limit_gib / SAFE_SHARE + 1e-9)
    assert (found.size, found.checkpointing) == expected
    assert found.peak_gib == cost(*expected).peak_gib
    kept = choose(cost, train, room_gib=limit_gib / SAFE_SHARE + 1e-9, allows_checkpointing=False)
    assert not kept.checkpointing


@pytest.mark.parametrize(
    ("batch", "workers", "limit_gib", "expected"),
    [
        (2, 1, 11.0, (2, False)),  # the whole batch
        (8, 4, 11.0, (2, False)),  # the whole share of a worker
        (8, 4, 10.9, (2, True)),
        (8, 1, 11.0, (8, True)),
    ],
)
def test_less_than_enough_is_enough_where_there_is_no_more(
    batch, workers, limit_gib, expected
) -> None:
    train = TuneConfig(batch_size=batch, micro_batch_size="auto")
    found = choose(cost, train, room_gib=limit_gib / SAFE_SHARE + 1e-9, workers=workers)
    assert (found.size, found.checkpointing) == expected


def test_as_large_a_size_without_is_taken_without() -> None:
    def alike(size: int, on: bool) -> StepCost:
        return cost(size)

    train = TuneConfig(batch_size=16, micro_batch_size="auto")
    found = choose(alike, train, room_gib=8.0 / SAFE_SHARE + 1e-9)
    assert (found.size, found.checkpointing) == (2, False)


def test_a_size_that_was_given_is_not_called_found() -> None:
    train = TuneConfig(batch_size=16, micro_batch_size=16)
    assert str(choose(cost, train, room_gib=100.0)) == (
        "16 (as given) without gradient checkpointing, found automatically: the predicted peak of "
        "39 GiB is within the limit of 90 GiB (90% of the available memory)"
    )
    assert str(choose(cost, train, room_gib=10.0)) == (
        "16 (as given) with gradient checkpointing, found automatically: the predicted peak of 15 "
        "GiB (39 GiB without it) is over the limit of 9 GiB (90% of the available memory), so it "
        "may run out of memory; try a smaller size"
    )


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


def kept(folder, key: str = "size") -> int | bool:
    return json.loads((folder / CHOSEN).read_text())[key]


def test_a_trial_finds_it_and_trains_as_with_the_number_given(
    trial_config, losses, tmp_path
) -> None:
    config = trial_config(train=AUTO)
    found = losses(config, "auto")
    assert kept(tmp_path / "auto") == 4  # all of a batch of the tiny model fits any machine
    given = {size: trial_config(train=AUTO | {"micro_batch_size": size}) for size in (1, 4)}
    assert found == losses(given[4], "4")
    assert found == pytest.approx(losses(given[1], "1"), rel=REL)
    assert as_begun(config, tmp_path / "auto") == config.with_micro_batch(4)
    assert as_begun(config, tmp_path / "1") == config
    assert not (tmp_path / "1" / CHOSEN).exists()


def test_resumed_it_keeps_its_number_and_goes_on_bit_for_bit(
    trial_config, losses, tmp_path, caplog
) -> None:
    config = trial_config(train=AUTO)
    whole = losses(trial_config(train=AUTO | {"micro_batch_size": 1}), "whole")
    begun = losses(config, "cut", until=2, memory_gib=1e-6)
    assert kept(tmp_path / "cut") == 1
    assert "micro_batch_size 1 without gradient checkpointing, found automatically" in caplog.text
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


def test_what_older_code_has_left_counts_for_nothing(trial_config, tmp_path) -> None:
    config = trial_config(train=AUTO)
    old = {"trial": trial_id(config), "size": 1, "peak_gib": 1.0, "limit_gib": 2.0}
    write_json(tmp_path / CHOSEN, old)
    assert as_begun(config, tmp_path) == config
    write_json(
        tmp_path / CHOSEN, old | {"checkpointing": True, "whole_gib": 3.0, "is_given": False}
    )
    assert as_begun(config, tmp_path).train.micro_batch == 1


def test_another_trial_in_the_same_folder_finds_its_own(trial_config, losses, tmp_path) -> None:
    losses(trial_config(train=AUTO), "same", memory_gib=1e-6)
    losses(trial_config(train=AUTO, learning_rate=1e-4), "same")
    assert kept(tmp_path / "same") == 4


def test_its_metric_says_what_ran(trial_config, tmp_path) -> None:
    keys = ("train/micro_batch_size", "train/gradient_checkpointing")
    told: list[tuple[float, ...]] = []

    def report(step: int, metrics: dict[str, float]) -> None:
        if keys[0] in metrics:
            told.append((step, *(metrics[key] for key in keys)))

    worker = Worker(tmp_path / "cache")
    given = {"report": report, "worker": worker}
    run_trial(trial_config(train=AUTO), out=tmp_path / "auto", **given)
    assert told == [(0, 4, 0), (4, 4, 0)]
    told.clear()
    run_trial(trial_config(train=CHECKPOINTS), out=tmp_path / "lean", **given, memory_gib=1e-6)
    assert told == [(0, 2, 1), (4, 2, 1)]


@pytest.fixture
def recomputed(monkeypatch) -> list[bool]:
    """Whether models were set to recompute, in the order in which they began to train."""
    from lnt_core.training import engine

    found, real = [], engine.set_checkpointing

    def set_checkpointing(model, *, on: bool) -> None:
        found.append(on)
        real(model, on=on)

    monkeypatch.setattr(engine, "set_checkpointing", set_checkpointing)
    return found


def test_a_trial_that_fits_keeps_its_activations_and_one_that_does_not_recomputes_them(
    trial_config, losses, tmp_path, caplog, recomputed
) -> None:
    caplog.set_level("INFO")
    config = trial_config(train=CHECKPOINTS)
    found = losses(config, "fits")
    assert not kept(tmp_path / "fits", "checkpointing")
    assert recomputed == []
    assert "micro_batch_size 2 (as given) without gradient checkpointing" in caplog.text
    lean = losses(config, "lean", memory_gib=1e-6)
    assert kept(tmp_path / "lean", "checkpointing")
    assert recomputed == [True]
    assert found == losses(config.with_checkpointing(on=False), "off")
    assert lean == losses(config.with_checkpointing(on=True), "on")
    assert lean == pytest.approx(found, rel=REL)
    assert as_begun(config, tmp_path / "lean") == config.with_checkpointing(on=True)


def test_resumed_it_recomputes_as_it_began(trial_config, losses, tmp_path, recomputed) -> None:
    config = trial_config(train=CHECKPOINTS)
    losses(config, "cut", until=2, memory_gib=1e-6)
    losses(config, "cut", memory_gib=1000.0)
    assert recomputed == [True, True]
    losses(config, "other", until=2)
    losses(config, "other", memory_gib=1e-6)
    assert recomputed == [True, True]


def test_a_strategy_that_does_not_allow_it_runs_without(
    trial_config, losses, tmp_path, recomputed
) -> None:
    config = trial_config(train=CHECKPOINTS, strategy={"name": "prefix", "num_tokens": 2})
    assert losses(config, "prefix", memory_gib=1e-6)
    assert not kept(tmp_path / "prefix", "checkpointing")
    assert recomputed == []


def test_both_are_found_together(trial_config, losses, tmp_path) -> None:
    both = trial_config(train=CHECKPOINTS | {"micro_batch_size": "auto"})
    losses(both, "roomy")
    losses(both, "tight", memory_gib=1e-6)
    found = [(kept(tmp_path / n), kept(tmp_path / n, "checkpointing")) for n in ("roomy", "tight")]
    assert found == [(4, False), (1, True)]


@pytest.mark.parametrize("on", [False, True])
def test_workers_agree_on_the_smallest_and_on_checkpointing_if_one_needs_it(
    on, trial_config, losses, tmp_path, monkeypatch
) -> None:
    def gather(item):
        """Another worker has nothing kept either, and room for two samples."""
        another = {"size": 2, "peak_gib": 9.0, "limit_gib": 0.5, "checkpointing": on}
        return [item] if item is None else [item, replace(item, **another)]

    monkeypatch.setattr(micro_batch, "gather", gather)
    config = trial_config(train=CHECKPOINTS | {"micro_batch_size": "auto"})
    losses(config, "out")
    assert (kept(tmp_path / "out"), kept(tmp_path / "out", "checkpointing")) == (2, on)
    assert kept(tmp_path / "out", "limit_gib") == 0.5
    assert kept(tmp_path / "out", "peak_gib") != 9.0  # that of what they agreed on


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
    assert done.stderr.count("micro_batch_size 2 without gradient checkpointing") == 1
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["train/micro_batch_size"] == 2
