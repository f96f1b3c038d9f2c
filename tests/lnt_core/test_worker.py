"""What a worker keeps between trials."""

from pathlib import Path

from lnt_core.config import ScenesConfig
from lnt_core.data.samples import load_samples
from lnt_core.data.scene_questions import scenes_data
from lnt_core.worker import Worker
from tests.parts import TRAIN

ALIGN = TRAIN | {"max_steps": 20, "learning_rate": 1e-3}


def features(cache: Path) -> list[Path]:
    return list(cache.rglob("*.features"))


def images(data) -> list[tuple[Path, ...]]:
    return list(dict.fromkeys(sample.images for sample in load_samples(data, seed=0)))


def test_images_that_stage_1_alone_learns_from_leave_their_room_to_those_of_trials(
    trial_config, scenes, tmp_path
) -> None:
    other = scenes_data(ScenesConfig(num_train=8, num_val=2, num_test=2, seed=7), tmp_path / "own")
    data = scenes.model_copy(update={"align": other.tune})
    first = Worker(tmp_path / "first").prepare(trial_config(data=data, align=ALIGN))
    of_stage_1 = features(tmp_path / "first")
    assert len(of_stage_1) == len(images(other.tune)) == 8
    one = max(path.stat().st_size for path in of_stage_1)
    first.store.get(images(other.tune))  # all trials read them as well
    assert len(features(tmp_path / "first")) == 8

    worker = Worker(tmp_path / "second", feature_cache_gib=10.5 * one / 2**30)
    prepared = worker.prepare(trial_config(data=data, align=ALIGN))
    assert len(features(tmp_path / "second")) == 8
    prepared.store.get(images(scenes.tune))
    assert len(features(tmp_path / "second")) == len(images(scenes.tune)) == 8
    assert not prepared.store.reader().args[0].is_full
