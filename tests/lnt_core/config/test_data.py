"""The splits and tasks for choosing and for reporting; columns of tables."""

import re

import pytest
from pydantic import ValidationError

from lnt_core.config import CaptioningConfig, ColumnsConfig, DataConfig, ScenesConfig

FILES = {"task": "flickr30k", "annotations": "a.json", "images": "i"}


def test_the_test_split_is_reported_unless_it_chooses() -> None:
    assert CaptioningConfig.model_validate(FILES).report_split == "test"
    assert CaptioningConfig.model_validate(FILES | {"split": "test"}).report_split is None


def test_all_splits_that_are_read() -> None:
    select = CaptioningConfig.model_validate(FILES)
    assert select.splits == {"val", "test"}
    assert select.model_copy(update={"text_examples": 3}).splits == {"val", "test", "train"}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"image": "a", "images": "b"}, "`image` and `images` are the same column: give one"),
        ({"messages": "a", "answer": "b"}, "give either `messages`, or `answer` with or without"),
        ({"question": "a"}, "`question` needs `answer`"),
    ],
)
def test_columns_that_exclude_each_other_are_refused(columns, told) -> None:
    with pytest.raises(ValueError, match=told):
        ColumnsConfig.model_validate(columns)


SCORED = {"annotations": "a.json", "images": "i"}


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ([{"task": "loss"}, {"task": "loss"}], "several tasks called loss: give each another"),
        ([{"task": "loss", "name": "train"}], "'train' is what other metrics begin with"),
        ([{"task": "exact_match", "prompt": "What?"}], "`{question}` is missing"),
        ([{"task": "exact_match", "prompt": "<image> {question}"}], "leave it out"),
        ([{"task": "mme", "subtasks": ["count", "count"]}], "each at most once"),
        ([{"task": "vqav2", "image_name": "{}.jpg", "questions": "q"}], "must contain"),
        ([{"task": "vqav2", "image_name": "1.jpg", "questions": "q"}], "must contain"),
    ],
)
def test_a_task_that_cannot_be_reported_is_refused(report, told) -> None:
    tasks = [
        {k: v for k, v in SCORED.items() if task["task"] != "mme" or k == "images"} | task
        for task in report
    ]
    select = {"task": "flickr30k", **SCORED}
    with pytest.raises(ValidationError, match=re.escape(told)):
        DataConfig.model_validate({"tune": SCORED, "select": select, "report": tasks})


def test_a_captioning_task_that_is_reported_has_one_split() -> None:
    coco = {"task": "coco", "split": "val", **SCORED}
    select = {"task": "flickr30k", **SCORED}
    data = DataConfig.model_validate({"tune": SCORED, "select": select, "report": [coco]})
    assert data.report[0].report_split is None
    assert data.select.report_split == "test"


def test_scenes_train_on_questions_if_any_are_asked() -> None:
    assert not ScenesConfig().asks
    assert not ScenesConfig(select="loss", report=("scenes",)).asks
    assert ScenesConfig(report=("pope",)).asks
    assert not ScenesConfig(select="pope", questions=False).asks
    with pytest.raises(ValidationError, match="different tasks"):
        ScenesConfig(select="pope", report=("pope",))


def test_what_chooses_is_asked_of_every_trial() -> None:
    select = FILES | {"when": "winners"}
    with pytest.raises(ValidationError, match="only tasks in `report` have it"):
        DataConfig.model_validate({"tune": SCORED, "select": select})


def test_winners_alone_are_scored_on_what_is_reported_unless_trials_are() -> None:
    pope = {"task": "pope", "annotations": "p", "images": "i"}
    report = [
        pope,
        pope | {"name": "own", "when": "trials"},
        pope | {"name": "b", "when": "winners"},
    ]
    data = DataConfig.model_validate({"tune": SCORED, "select": FILES, "report": report})
    assert data.names_for_winners == ("pope", "b")
    assert DataConfig.model_validate(data.model_dump(mode="json")) == data
    scenes = {"report": ["pope", "mme"]}
    assert DataConfig.model_validate({"scenes": scenes}).names_for_winners == ("pope", "mme")
    every = scenes | {"report_when": "trials"}
    assert DataConfig.model_validate({"scenes": every}).names_for_winners == ()
