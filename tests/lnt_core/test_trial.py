"""A trial from its config to its scores, and its name by content."""

import shutil

import pytest

from lnt_core.config import AlignConfig, DatasetConfig
from lnt_core.identity import align_id, trial_id
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


def test_the_name_follows_content_not_place(trial_config, scenes, tmp_path) -> None:
    config = trial_config()
    annotations = shutil.copy(scenes.tune.annotations, tmp_path / "elsewhere.json")
    images = shutil.copytree(scenes.tune.images, tmp_path / "pictures")
    moved = DatasetConfig(annotations=str(annotations), images=str(images))
    data = scenes.model_copy(update={"tune": moved})
    assert trial_id(trial_config(data=data)) == trial_id(config)


@pytest.mark.parametrize(
    "change", [{"learning_rate": 2e-3}, {"strategy": {"name": "lora"}}, {"seed": 1}]
)
def test_what_changes_a_result_changes_the_name(change, trial_config) -> None:
    assert trial_id(trial_config(**change)) != trial_id(trial_config())


def test_stage_1_is_named_by_what_it_depends_on(trial_config) -> None:
    align = {"align": AlignConfig.model_validate(TRAIN)}
    name = align_id(trial_config(**align))
    same = trial_config(**align, learning_rate=2e-3, strategy={"name": "full"}, seed=3)
    assert align_id(same) == name
    other = AlignConfig.model_validate(TRAIN | {"learning_rate": 1e-3})
    assert align_id(trial_config(align=other)) != name
