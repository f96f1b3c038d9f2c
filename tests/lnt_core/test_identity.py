"""IDs of trials and of stage 1, which are hashes of content."""

import shutil

import pytest

from lnt_core.config import AlignConfig, DatasetConfig
from lnt_core.identity import align_id, trial_id
from tests.parts import TRAIN

NO_ANALYSIS = {"train": TRAIN | {"analyse": False}}


def test_the_name_follows_content_not_place(trial_config, scenes, tmp_path) -> None:
    config = trial_config()
    annotations = shutil.copy(scenes.tune.annotations, tmp_path / "elsewhere.json")
    images = shutil.copytree(scenes.tune.images, tmp_path / "pictures")
    moved = DatasetConfig(annotations=str(annotations), images=str(images))
    data = scenes.model_copy(update={"tune": moved})
    assert trial_id(trial_config(data=data)) == trial_id(config)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 2e-3},
        {"strategy": {"name": "lora"}},
        {"seed": 1},
        {"train_seed": 1},
        NO_ANALYSIS,
        {"train": TRAIN | {"gradient_checkpointing": "auto"}},
    ],
)
def test_what_changes_a_result_changes_the_name(change, trial_config) -> None:
    assert trial_id(trial_config(**change)) != trial_id(trial_config())


@pytest.mark.parametrize("often", [{"checkpoint_every_s": 600.0}, {"checkpoint_every_steps": 7}])
def test_how_often_a_checkpoint_is_written_changes_no_name(often, trial_config) -> None:
    usual, other = (
        trial_config(align=AlignConfig.model_validate(train), train=train)
        for train in (TRAIN, TRAIN | often)
    )
    assert trial_id(other) == trial_id(usual)
    assert align_id(other) == align_id(usual)


def test_stage_1_is_named_by_what_it_depends_on(trial_config) -> None:
    align = {"align": AlignConfig.model_validate(TRAIN)}
    name = align_id(trial_config(**align))
    same = trial_config(**align, learning_rate=2e-3, strategy={"name": "full"}, seed=3)
    assert align_id(same) == name
    other = AlignConfig.model_validate(TRAIN | {"learning_rate": 1e-3})
    assert align_id(trial_config(align=other)) != name


def test_how_images_are_opened_is_part_of_both_names(trial_config, scenes) -> None:
    align = {"align": AlignConfig.model_validate(TRAIN)}
    for change in ({"exif_orientation": False}, {"max_pixels": 1000}):
        other = scenes.model_copy(update=change)
        assert trial_id(trial_config(data=other)) != trial_id(trial_config())
        assert align_id(trial_config(**align, data=other)) != align_id(trial_config(**align))
