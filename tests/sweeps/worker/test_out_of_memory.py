"""Out of memory: tried again with checkpointing or half the micro batch, and said."""

import json
import resource
import subprocess
import sys

import pytest
import torch

from lnt_core.errors import TrialError
from sweeps.worker.out_of_memory import count_kill, halved, num_kills, run_in_memory
from tests.parts import TRAIN

pytestmark = pytest.mark.heavy

HUNGRY = """
import json, resource, sys, torch
from lnt_core.devices.faults import is_out_of_memory
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
try:
    torch.empty(int(sys.argv[1])).fill_(1.0)
except Exception as error:
    print(json.dumps([type(error).__name__, is_out_of_memory(error)]))
"""


def fails_above(limit: int, error: Exception):
    sizes = []

    def run(config) -> int:
        sizes.append(config.train.micro_batch_size)
        if sizes[-1] > limit:
            raise error
        return sizes[-1]

    return run, sizes


def test_it_is_tried_again_with_half_the_micro_batch(trial_config) -> None:
    config = trial_config()
    run, sizes = fails_above(1, torch.OutOfMemoryError("CUDA out of memory"))
    done, ran, note = run_in_memory(config, run)
    assert (done, sizes) == (1, [2, 1])
    assert ran.train.batch_size == config.train.batch_size
    assert note == "out of memory at micro_batch_size 2; run again with 1"


@pytest.mark.parametrize(
    ("limit", "error", "tried"),
    [
        (0, torch.OutOfMemoryError("CUDA out of memory"), [2, 1]),
        (1, TrialError("not of memory"), [2]),
        (1, RuntimeError("shapes do not fit"), [2]),
    ],
)
def test_only_once_and_only_for_memory(limit, error, tried, trial_config) -> None:
    run, sizes = fails_above(limit, error)
    with pytest.raises(type(error)):
        run_in_memory(trial_config(), run)
    assert sizes == tried


def test_a_trial_with_memory_enough_is_left_alone(trial_config) -> None:
    config = trial_config()
    assert run_in_memory(config, lambda given: given) == (config, config, "")


def test_a_micro_batch_of_one_cannot_be_halved(trial_config) -> None:
    once = halved(trial_config())
    assert once is not None
    assert halved(once) is None


def test_of_an_odd_micro_batch_the_next_that_divides_the_batch_is_taken(trial_config) -> None:
    config = trial_config(train=TRAIN | {"batch_size": 15, "micro_batch_size": 15})
    sizes = []
    while config is not None:
        sizes.append(config.train.micro_batch)
        config = halved(config)
    assert sizes == [15, 5, 1]


def test_what_torch_really_raises_on_a_host_without_memory_is_known() -> None:
    limit = 8 * 2**30
    assert resource.getrlimit(resource.RLIMIT_AS)[1] in (resource.RLIM_INFINITY, limit)
    command = [sys.executable, "-c", HUNGRY, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["RuntimeError", True]


@pytest.mark.parametrize(
    ("changes", "ran_as", "fails_at", "last"),
    [
        # two micro-batches a step, or one: 4 is found
        ({"micro_batch_size": 2}, (1, False), 4, 5),
        ({"micro_batch_size": "auto"}, (2, False), 2, 7),
        ({"gradient_checkpointing": "auto"}, (2, True), 4, 9),
    ],
)
def test_a_trial_tried_again_ends_with_the_losses_of_one_that_had_memory(
    changes, ran_as, fails_at, last, trial_config, tmp_path, monkeypatch
) -> None:
    """It goes on from the checkpoint of its first attempt, which ran out in the third step."""
    from lnt_core.accounting.micro_batch import as_begun
    from lnt_core.training import optimizer_step
    from lnt_core.trial import run_trial
    from lnt_core.worker import Worker

    config = trial_config(train=TRAIN | {"checkpoint_every_steps": 1} | changes)
    worker = Worker(tmp_path / "cache")

    def losses(name: str) -> tuple[list[float], tuple[int, bool]]:
        heard: dict[int, float] = {}

        def report(step: int, metrics: dict[str, float]) -> None:
            if "train/loss" in metrics:
                heard[step] = metrics["train/loss"]

        out = tmp_path / name
        _, ran, _ = run_in_memory(
            config,
            lambda c: run_trial(c, out=out, report=report, worker=worker),
            begun=lambda c: as_begun(c, out),
        )
        found = ran.train.micro_batch, ran.train.checkpointing
        return [heard[step] for step in sorted(heard)], found

    undisturbed, _ = losses("undisturbed")
    calls = iter(range(1000))
    real = optimizer_step.answer_loss

    def hungry(model, batch, **options):
        if len(batch.input_ids) > 1 and next(calls) == fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, batch, **options)

    monkeypatch.setattr(optimizer_step, "answer_loss", hungry)
    assert losses("hungry") == (pytest.approx(undisturbed, rel=1e-4), ran_as)
    assert next(calls) == last


class TestFoundAutomatically:
    """The file says `auto`; the trial found 4 when it began."""

    @pytest.fixture
    def config(self, trial_config):
        return trial_config(train=TRAIN | {"micro_batch_size": "auto"})

    def begun(self, config):
        return config.with_micro_batch(4)

    def test_with_memory_enough_it_is_told_what_ran(self, config) -> None:
        done, ran, note = run_in_memory(config, lambda given: given, begun=self.begun)
        assert (done, ran, note) == (config, self.begun(config), "")

    def test_out_of_memory_the_found_one_is_halved(self, config) -> None:
        given = []

        def run(chosen):
            given.append(chosen.train.micro_batch_size)
            if given[-1] == "auto":
                raise torch.OutOfMemoryError("CUDA out of memory")

        _, ran, note = run_in_memory(config, run, begun=self.begun)
        assert given == ["auto", 2]
        assert ran == config.with_micro_batch(2)
        assert note == "out of memory at micro_batch_size 4; run again with 2"

    def test_killed_it_begins_with_half_of_the_found_one(self, config) -> None:
        run, sizes = fails_above(9, RuntimeError())
        run_in_memory(config, run, num_kills=1, begun=self.begun)
        assert sizes == [2]

    def test_killed_before_it_was_found_it_is_found_now(self, config) -> None:
        done, _, note = run_in_memory(config, lambda given: given, num_kills=1)
        assert (done, note) == (config, "")
        with pytest.raises(TrialError, match="memory monitor killed"):
            run_in_memory(config, lambda given: given, num_kills=2)


class TestCheckpointingFoundAutomatically:
    """The file says `gradient_checkpointing: auto`; the trial began without it."""

    CHECKPOINTS = "out of memory at micro_batch_size 2; run again with gradient checkpointing"
    HALVES = "out of memory at micro_batch_size 2; run again with 1"

    @pytest.fixture
    def config(self, trial_config):
        return trial_config(train=TRAIN | {"gradient_checkpointing": "auto"})

    def begun(self, config):
        return config.with_checkpointing(on=False)

    def tried(self, config, *, fails: int, begun=None, num_kills: int = 0):
        """What was tried of a trial whose first attempts run out of memory, what ran, the note."""
        given = []

        def run(chosen):
            given.append((chosen.train.gradient_checkpointing, chosen.train.micro_batch))
            if len(given) <= fails:
                raise torch.OutOfMemoryError("CUDA out of memory")

        begun = begun or self.begun
        _, ran, note = run_in_memory(config, run, begun=begun, num_kills=num_kills)
        return given, (ran.train.gradient_checkpointing, ran.train.micro_batch), note

    def test_it_checkpoints_before_the_micro_batch_is_halved(self, config) -> None:
        whole, lean, half = ("auto", 2), (True, 2), (True, 1)
        assert self.tried(config, fails=0) == ([whole], (False, 2), "")
        assert self.tried(config, fails=1) == ([whole, lean], lean, self.CHECKPOINTS)
        notes = f"{self.CHECKPOINTS}; {self.HALVES}"
        assert self.tried(config, fails=2) == ([whole, lean, half], half, notes)
        with pytest.raises(torch.OutOfMemoryError):
            self.tried(config, fails=3)

    def test_killed_it_begins_with_the_next(self, config) -> None:
        lean, half = (True, 2), (True, 1)
        notes = f"{self.CHECKPOINTS}; {self.HALVES}"
        assert self.tried(config, fails=0, num_kills=1) == ([lean], lean, self.CHECKPOINTS)
        assert self.tried(config, fails=1, num_kills=1) == ([lean, half], half, notes)
        assert self.tried(config, fails=0, num_kills=2) == ([half], half, notes)
        with pytest.raises(TrialError, match="memory monitor killed"):
            self.tried(config, fails=0, num_kills=3)

    def test_with_it_on_already_the_micro_batch_is_halved(self, config) -> None:
        found = self.tried(config, fails=1, begun=lambda given: given.with_checkpointing(on=True))
        assert found == ([("auto", 2), (True, 1)], (True, 1), self.HALVES)

    def test_given_as_false_it_stays_off(self, trial_config) -> None:
        found = self.tried(trial_config(), fails=1)
        assert found == ([(False, 2), (False, 1)], (False, 1), self.HALVES)

    def test_a_strategy_that_does_not_allow_it_halves_at_once(self, trial_config) -> None:
        auto = TRAIN | {"gradient_checkpointing": "auto"}
        config = trial_config(train=auto, strategy={"name": "prefix", "num_tokens": 2})
        assert self.tried(config, fails=1) == ([("auto", 2), (False, 1)], (False, 1), self.HALVES)

    def test_killed_before_it_was_found_it_is_found_now(self, config) -> None:
        done, _, note = run_in_memory(config, lambda given: given, num_kills=1)
        assert (done, note) == (config, "")


class TestKilledByTheMemoryMonitor:
    """The process is gone; the next one finds a note in the trial's folder."""

    def test_once_it_begins_with_half(self, trial_config, tmp_path) -> None:
        count_kill(tmp_path)
        run, sizes = fails_above(9, RuntimeError())
        _, ran, note = run_in_memory(trial_config(), run, num_kills=num_kills(tmp_path))
        assert (sizes, ran.train.micro_batch_size) == ([1], 1)
        assert note == "out of memory at micro_batch_size 2; run again with 1"

    def test_twice_it_fails_and_says_what_to_lower(self, trial_config, tmp_path) -> None:
        count_kill(tmp_path)
        count_kill(tmp_path)
        run, sizes = fails_above(9, RuntimeError())
        with pytest.raises(TrialError, match=r"Lower train\.micro_batch_size"):
            run_in_memory(trial_config(), run, num_kills=num_kills(tmp_path))
        assert sizes == []
