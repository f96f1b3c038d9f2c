"""Questions about drawn scenes, read by the readers of the published layouts."""

import json
import random
from pathlib import Path

import pytest

from lnt_core.config import ModelConfig, ScenesConfig
from lnt_core.data.samples import load_samples
from lnt_core.data.scene_questions import (
    colour_question,
    count_question,
    relation_question,
    scenes_data,
    training_samples,
)
from lnt_core.data.scenes import SAMPLES_PER_SCENE, Scene, Thing
from lnt_core.evaluation.check import data_problems
from lnt_core.evaluation.tasks import TASKS, make_task

TASKS_OF_SCENES = ("vqav2", "pope", "mme", "exact_match", "loss")
SCENE = Scene(Thing("small", "red", "cross"), Thing("large", "blue", "cross"), "sand", beside=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    config = ScenesConfig(
        num_train=6, num_val=12, num_test=2, select="scenes", report=TASKS_OF_SCENES
    )
    return scenes_data(config, tmp_path_factory.mktemp("scenes"))


def test_every_task_is_written_and_read_in_its_published_layout(data) -> None:
    assert data_problems(ModelConfig(tiny=True), data) == []
    sizes = {options.task: len(make_task(options).questions) for options in data.report}
    assert sizes["pope"] == 3 * 2 * 12
    assert sizes["mme"] == 4 * 2 * 12
    assert sizes["loss"] == 5 * 12
    assert 3 * 12 <= sizes["vqav2"] == sizes["exact_match"] <= 4 * 12


def test_the_truth_scores_full_marks(data) -> None:
    for options, best in zip(data.report, (80.0, 100.0, 800.0, 100.0), strict=False):
        task = make_task(options)
        scored = task.score([max(q.references, key=q.references.count) for q in task.questions])
        assert scored.summary[TASKS[options.task].main] >= best


def test_an_absent_shape_of_pope_is_absent(data) -> None:
    content = json.loads(Path(data.select.annotations).read_text())
    captions = {item["filename"]: item["sentences"][0]["raw"] for item in content["images"]}
    pope = make_task(data.report[1])
    for question in pope.questions:
        shape = question.text.split()[3]
        there = shape in captions[question.image.name]
        assert question.references == ("yes" if there else "no",)


def test_questions_are_trained_on_in_the_words_in_which_they_are_asked(data) -> None:
    samples = load_samples(data.tune, seed=0)
    assert len(samples) == 6 * SAMPLES_PER_SCENE
    asked = {sample.turns[0][0].rpartition("\n")[2] for sample in samples}
    assert asked == {
        "Answer the question using a single word or phrase.",
        "Provide a one-sentence caption for the provided image.",
    }


def test_answers_are_those_of_the_scene() -> None:
    rng = random.Random(0)
    colours = {colour_question(SCENE, rng) for _ in range(20)}
    assert colours == {
        ("What color is the object on the left?", "red"),
        ("What color is the object on the right?", "blue"),
    }
    counts = {count_question(SCENE, rng) for _ in range(50)}
    assert ("How many crosses are there?", "2") in counts
    assert ("How many stars are there?", "0") in counts
    assert relation_question(SCENE) == ("What is to the left of the cross?", "cross")
    assert len(training_samples(SCENE, rng)) == SAMPLES_PER_SCENE


def test_drawings_do_not_depend_on_what_is_asked(data, tmp_path) -> None:
    plain = scenes_data(ScenesConfig(num_train=6, num_val=12, num_test=2), tmp_path)
    assert Path(plain.select.annotations).read_text() == Path(data.select.annotations).read_text()
    assert plain.tune.annotations == plain.select.annotations
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir() if path.is_dir()] == [
        "scenes"
    ]
