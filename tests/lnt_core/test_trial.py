"""A trial from its config to its scores."""

import subprocess
import sys

from lnt_core.config import AlignConfig
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.conftest import TRAIN


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
        "weights",
    ]


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
