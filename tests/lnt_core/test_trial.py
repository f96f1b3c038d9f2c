"""A trial from its config to its scores."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lnt_core.config import AlignConfig, StartedFrom, TrialConfig
from lnt_core.errors import TrialError
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.damage import WAYS
from tests.parts import TRAIN, model_config

pytestmark = pytest.mark.heavy


def silent(step, metrics):
    pass


def test_a_trial_is_trained_scored_and_saved(trial_config, tmp_path) -> None:
    told = {}
    result = run_trial(
        trial_config(),
        out=tmp_path / "out",
        report=lambda step, metrics: told.update(metrics),
        worker=Worker(tmp_path / "cache"),
    )
    assert result.status == "finished"
    assert result.steps == 4
    assert {"select/cider", "report/cider", "memory/peak_gib", "time/train_s"} <= told.keys()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "analysis.json",
        "captions_report.jsonl",
        "captions_select.jsonl",
        "ended.json",
        "weights",
    ]


def test_deterministic_is_a_trials_own_and_changes_no_digit_on_a_cpu(
    trial_config, tmp_path
) -> None:
    worker, heard = Worker(tmp_path / "cache"), {}
    for on in (False, True, False):
        config = trial_config(strategy={"name": "lora"}, train=TRAIN | {"deterministic": on})
        told = []

        def report(step, metrics, told=told, on=on):
            assert torch.are_deterministic_algorithms_enabled() is on
            told.append(metrics.get("train/loss"))

        run_trial(config, out=tmp_path / f"{on}{len(heard)}", report=report, worker=worker)
        assert heard.setdefault("losses", told) == told


def test_a_warm_worker_gives_what_a_fresh_one_gives(trial_config, tmp_path) -> None:
    configs = [trial_config(strategy={"name": name}) for name in ("full", "lora", "layernorm")]

    def losses(config, worker, name):
        heard = []
        run_trial(
            config,
            out=tmp_path / name,
            report=lambda step, m: heard.append(m.get("train/loss")),
            worker=worker,
        )
        return heard

    warm = Worker(tmp_path / "cache")
    for number, config in enumerate(configs):
        fresh = Worker(tmp_path / "cache")
        assert losses(config, warm, f"w{number}") == losses(config, fresh, f"f{number}")


TWELVE = TRAIN | {"max_steps": 12, "checkpoint_every_steps": 4}
"""More steps than gradients are measured in."""


@pytest.fixture(scope="module")
def cut(parts, scenes, tmp_path_factory):
    """A trial cut at step 9 with checkpoints of steps 4 and 8; and how it ends uncut."""
    own = {"strategy": {"name": "layernorm"}, "learning_rate": 1e-3, "train": TWELVE}
    config = TrialConfig.model_validate({"model": model_config(parts), "data": scenes} | own)
    folder = tmp_path_factory.mktemp("cut")
    worker = Worker(folder / "cache")

    def run(out, until=99, **options):
        heard = {}

        def report(step, metrics):
            if "train/loss" in metrics and step == until:
                raise RuntimeError("cut")
            stable = {k: v for k, v in metrics.items() if k.startswith(STABLE)}
            heard.setdefault(step, {}).update(stable)

        with contextlib.suppress(RuntimeError):
            run_trial(config, out=out, report=report, worker=worker, **options)
        return heard

    whole = run(folder / "whole")
    run(folder / "cut", until=9)
    return folder / "cut", run, whole


STABLE = ("train/loss", "select/", "analysis/")
"""Metrics that do not depend on the time."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("damaged", "begins"),
    [
        (["checkpoint.pt"], 5),
        (["checkpoint.pt", "checkpoint.previous.pt"], 1),
        (["checkpoint.previous.pt"], 9),
        (["gradients.json"], 1),
    ],
)
def test_with_damaged_files_it_ends_as_the_undisturbed_one(
    damaged, begins, way, cut, tmp_path
) -> None:
    before, run, whole = cut
    shutil.copytree(before, tmp_path / "out")
    for name in damaged:
        WAYS[way](tmp_path / "out" / name, random.Random(2))
    heard = run(tmp_path / "out")
    assert heard == {step: metrics for step, metrics in whole.items() if step >= begins}
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not any(name.startswith("checkpoint") for name in left)


def test_what_the_caller_has_lost_is_reported_again(cut, tmp_path) -> None:
    before, run, whole = cut
    shutil.copytree(before, tmp_path / "out")
    heard = run(tmp_path / "out", reported=7)
    assert heard == {step: metrics for step, metrics in whole.items() if step >= 5}


def test_a_trial_that_starts_from_a_lost_checkpoint_says_so(cut, trial_config, tmp_path) -> None:
    before, _, _ = cut
    shutil.copytree(before, tmp_path / "out")
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        WAYS["flip"](tmp_path / "out" / name, random.Random(2))
    config = trial_config(train=TWELVE, started_from=StartedFrom(trial="abc", step=8))
    with pytest.raises(TrialError, match="this trial continues from step 8 of trial abc, but"):
        run_trial(config, out=tmp_path / "out", report=silent, worker=Worker(tmp_path / "cache"))


def test_stage_1_is_trained_once_and_changes_the_base(trial_config, tmp_path) -> None:
    align = AlignConfig.model_validate(TRAIN | {"learning_rate": 1e-2})
    config = trial_config(align=align)
    worker = Worker(tmp_path)
    run_trial(config, out=tmp_path / "a", report=silent, worker=worker)
    (saved,) = tmp_path.glob("align-*.pt")
    before = saved.stat().st_mtime_ns
    run_trial(
        trial_config(align=align, learning_rate=1e-4),
        out=tmp_path / "b",
        report=silent,
        worker=Worker(tmp_path),
    )
    assert saved.stat().st_mtime_ns == before


def test_a_trial_needs_no_library_of_sweeps() -> None:
    code = "import sys, lnt_core.trial; print({'ray', 'mlflow', 'optuna'}.isdisjoint(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("strategy", ["connector", "layernorm"])
def test_text_alone_trains_too(strategy, parts, scenes, tmp_path) -> None:
    """A micro-batch without images gives the connector no gradient."""
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
    content = [{"conversations": turns}] * 8
    folder = scenes.tune.images
    if strategy == "connector":  # which learns nothing from text alone
        image = min(path.name for path in Path(folder).iterdir())
        content.append({"conversations": turns, "image": image})
    (tmp_path / "text.json").write_text(json.dumps(content))
    tune = {"annotations": str(tmp_path / "text.json"), "images": folder}
    config = TrialConfig.model_validate(
        {
            "model": model_config(parts),
            "data": scenes.model_dump() | {"tune": tune},
            "strategy": {"name": strategy},
            "learning_rate": 1e-3,
            "train": TRAIN,
        }
    )
    losses = []
    run_trial(
        config,
        out=tmp_path / "trial",
        report=lambda step, metrics: losses.append(metrics.get("train/loss")),
        worker=Worker(tmp_path / "cache"),
    )
    assert len([loss for loss in losses if loss is not None]) == TRAIN["max_steps"]
