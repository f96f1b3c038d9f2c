"""Stage 1: the connector alone."""

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
import torch

from lnt_core.config import AlignConfig
from lnt_core.distributed.turn import POLL_S
from lnt_core.errors import TrialError
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.training.align import kept_connector, train_connector
from lnt_core.training.checkpoints import save_atomically
from lnt_core.worker import Worker
from tests.damage import WAYS, set_aside
from tests.lnt_core.launch import torchrun
from tests.parts import TRAIN, model_config
from tests.servers import HANG_S

CONFIG = AlignConfig.model_validate(TRAIN | {"learning_rate": 1e-2})


@pytest.fixture
def fresh(parts, tmp_path):
    torch.manual_seed(0)
    return load_base(model_config(parts), cache=tmp_path)


def test_it_trains_a_connector_and_leaves_the_base_as_it_is(fresh, scenes, tmp_path) -> None:
    before = {name: p.clone() for name, p in fresh.model.named_parameters()}
    store, saved = FeatureStore(fresh, max_bytes=2**20), tmp_path / "a.pt"
    assert kept_connector(saved) is None
    trained = train_connector(fresh, scenes.tune, CONFIG, store=store, saved=saved)
    assert all(torch.equal(p, before[n]) for n, p in fresh.model.named_parameters())
    own = fresh.connector
    assert (
        trained.keys()
        == own.keys()
        == {f"model.multi_modal_projector.{name}" for name in ("weight", "bias")}
    )
    assert not any(torch.equal(trained[name], own[name]) for name in own)
    kept = kept_connector(saved)
    assert all(torch.equal(kept[name], trained[name]) for name in own)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_connector_is_set_aside_and_trained_again(way, tmp_path, caplog) -> None:
    saved = tmp_path / "align.pt"
    save_atomically({"weight": torch.ones(9999)}, saved)
    WAYS[way](saved, random.Random(7))
    assert kept_connector(saved) is None
    assert set_aside(tmp_path) == ["align.pt.damaged-1"]
    assert caplog.messages[0].endswith("and now align.pt.damaged-1: stage 1 is trained again")


def test_one_that_diverges_says_what_to_change(fresh, scenes, tmp_path) -> None:
    connector = fresh.model.get_submodule(*fresh.roles.connector)
    torch.nn.init.constant_(connector.weight, math.nan)
    store = FeatureStore(fresh, max_bytes=2**20)
    config = CONFIG.model_copy(update={"checkpoint_every_steps": 1})
    with pytest.raises(TrialError) as failure:
        train_connector(fresh, scenes.tune, config, store=store, saved=tmp_path / "a.pt")
    assert str(failure.value) == (
        "stage 1 diverged at step 1 with align.learning_rate 0.01; choose a smaller one"
    )
    assert not list(tmp_path.glob("a.*"))


LONG = CONFIG.model_copy(update={"max_steps": 9, "checkpoint_every_steps": 2})


class CutError(Exception):
    """Raised where a kill would strike."""


def cut() -> None:
    raise CutError


@pytest.fixture
def trained(parts, scenes, tmp_path):
    """Trains stage 1 in a folder, up to what is done at a step. The losses it told of, by step."""

    def train(name: str, *, at: dict[int, Callable[[], None]] | None = None) -> dict[int, float]:
        torch.manual_seed(0)
        base = load_base(model_config(parts), cache=tmp_path)
        store, told = FeatureStore(base, max_bytes=2**20), {}

        def report(step, metrics):
            (at or {}).get(step, lambda: None)()
            told[step] = metrics["train/loss"]

        with contextlib.suppress(CutError):
            saved = tmp_path / name / "align.pt"
            train_connector(base, scenes.tune, LONG, store=store, saved=saved, report=report)
        return told

    return train


@pytest.mark.parametrize("damage", ["", "align.checkpoint.pt"])
def test_cut_twice_it_ends_with_the_same_connector_to_the_last_bit(
    trained, tmp_path, damage
) -> None:
    whole = trained("whole")
    assert sorted(whole) == list(range(1, 10))
    assert sorted(trained("cut", at={6: cut})) == [1, 2, 3, 4, 5]
    names = ["align.checkpoint.previous.pt", "align.checkpoint.pt"]
    assert {path.name for path in (tmp_path / "cut").glob("align*")} == set(names)
    if damage:
        WAYS["flip"](tmp_path / "cut" / damage, random.Random(1))
    assert sorted(trained("cut", at={8: cut})) == list(
        range(1, 8)
    )  # told of all, trained or resumed
    assert trained("cut") == whole
    assert [path.name for path in (tmp_path / "cut").glob("align*")] == ["align.pt"]
    one, other = (kept_connector(tmp_path / name / "align.pt") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.heavy
def test_a_second_process_waits_for_the_first_and_goes_on_where_that_is_killed(
    trained, tmp_path
) -> None:
    whole = trained("whole")
    (tmp_path / "two").mkdir()
    ready = tmp_path / "ready"
    first = forked(lambda: trained("two", at={7: lambda: _wait_and_die(ready)}))
    wait_until((tmp_path / "two" / "align.lock").exists)
    told = tmp_path / "told.json"
    second = forked(lambda: told.write_text(json.dumps(trained("two"))))
    third = forked(lambda: told.with_suffix(".3").write_text(json.dumps(trained("two"))))
    time.sleep(2 * POLL_S)
    assert [path.name for path in (tmp_path / "two").glob("*.lock")] == ["align.lock"]
    ready.touch()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (first, second)] == [
        -signal.SIGKILL,
        0,
    ]
    os.waitpid(third, 0)
    both = [json.loads(path.read_text()) for path in (told, told.with_suffix(".3"))]
    assert {str(step): loss for step, loss in whole.items()} in both
    assert {} in both
    one, other = (kept_connector(tmp_path / name / "align.pt") for name in ("whole", "two"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [path.name for path in (tmp_path / "two").glob("align*")] == ["align.pt"]


def forked(work) -> int:
    """The id of a child process that does some work; it has torch already."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    return child


def wait_until(ready) -> None:
    until = time.monotonic() + HANG_S
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.02)


def _wait_and_die(ready) -> None:
    wait_until(ready.exists)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.sweep
def test_two_that_shard_the_base_give_what_one_gives_also_after_a_kill(
    trial_config, tmp_path
) -> None:
    align = LONG.model_dump(exclude_none=True) | {"max_steps": 5}

    def config(**train):
        return trial_config(align=align, train=TRAIN | train)

    def two(**asked) -> list[float]:
        path, both = tmp_path / "two.json", config(deepspeed="zero3").model_dump(mode="json")
        path.write_text(json.dumps({"config": both, "cache": str(tmp_path / "two"), **asked}))
        program = "tests.lnt_core.training.align_worker"
        done = subprocess.run([*torchrun(2), program, str(path)], stderr=subprocess.DEVNULL)
        assert (done.returncode != 0) is bool(asked)
        return list(json.loads(path.with_suffix(".losses").read_text()).values())

    one: list[float] = []
    Worker(tmp_path / "one").prepare(
        config(), report=lambda step, metrics: one.append(metrics["train/loss"])
    )
    assert two(kill_at=5) == pytest.approx(one[:5], abs=1e-6)
    (kept,) = (tmp_path / "two").glob("align-*.checkpoint-*")
    assert {path.name for path in kept.iterdir()} >= {"step-4"}
    assert two() == pytest.approx(one, abs=1e-6)
    of_one, of_two = (
        kept_connector(saved)  # beside which there is no checkpoint, no lock
        for name in ("one", "two")
        for (saved,) in [tuple((tmp_path / name).glob("align-*"))]
    )
    assert all(torch.allclose(of_one[name], of_two[name], atol=1e-6) for name in of_one)
