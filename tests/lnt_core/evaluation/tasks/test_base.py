"""What every task promises."""

from typing import get_args

import pytest

from lnt_core.config import AnyTaskConfig, CaptioningConfig, DataConfig, ScenesConfig
from lnt_core.config.tasks import RESERVED
from lnt_core.data.scene_questions import scenes_data
from lnt_core.errors import TrialError
from lnt_core.evaluation.tasks import (
    TASKS,
    AskingTask,
    Scored,
    annotation_files,
    make_task,
    objective_of,
)
from lnt_core.identity import data_sha256, stage_sha256
from lnt_core.metrics import METRICS, OBJECTIVES, selecting

OF_SCENES = ("scenes", "vqav2", "pope", "mme", "exact_match", "loss")


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> dict:
    """The config of each task on drawn scenes."""
    config = ScenesConfig(num_train=4, num_val=5, num_test=2, report=OF_SCENES[1:])
    data = scenes_data(config, tmp_path_factory.mktemp("scenes"))
    return {found.task: found for found in (data.select, *data.report)}


def test_every_name_in_the_configs_is_registered() -> None:
    named = [
        name
        for config in get_args(AnyTaskConfig)
        for name in get_args(config.model_fields["task"].annotation)
    ]
    assert sorted(named) == sorted(TASKS)
    for config in get_args(AnyTaskConfig):
        for name in get_args(config.model_fields["task"].annotation):
            assert TASKS[name].Config is config


def test_each_main_metric_is_one_tasks_own() -> None:
    mains = {task: task.main for task in set(TASKS.values())}
    assert len(set(mains.values())) == len(mains)
    assert {selecting(main) for main in mains.values()} | {"select/cost"} == set(OBJECTIVES)


def test_no_task_can_be_called_as_other_metrics_begin() -> None:
    begin = {name.partition("/")[0] for name in METRICS if not name.startswith("select/*")}
    assert begin <= RESERVED
    assert not RESERVED & set(TASKS)


@pytest.mark.parametrize("name", OF_SCENES)
def test_ids_are_unique_and_the_metric_is_in_the_summary(name, options) -> None:
    task = make_task(options[name])
    assert len({(q.group, q.id) for q in task.questions}) == len(task.questions)
    assert all(q.image.exists() for q in task.questions)
    assert objective_of(DataConfig(scenes=ScenesConfig(select=name))).metric == selecting(
        task.metric
    )
    if not isinstance(task, AskingTask):
        return
    scored = task.score([q.references[0] for q in task.questions])
    assert task.metric in scored.summary
    assert len(scored.scores) == len(scored.contributions) == len(task.questions)
    mean = sum(scored.contributions) / len(scored.contributions)
    assert mean == pytest.approx(scored.summary[task.metric], abs=0.005 + 1e-9)
    with pytest.raises(ValueError, match="got 0 answers to"):
        task.score([])


@pytest.mark.parametrize("name", OF_SCENES)
def test_the_hash_follows_prompt_and_files_but_neither_name_nor_place(name, options) -> None:
    given = options[name]
    hashes = {stage_sha256(given)}
    assert {stage_sha256(given.model_copy(update={"name": "mine"}))} == hashes
    if name != "loss":
        hashes.add(stage_sha256(given.model_copy(update={"prompt": "{question}?"})))
        assert len(hashes) == 2
    path = next(iter(annotation_files(given).values()))
    text = path.read_text()
    try:
        path.write_text(text + "\n")
        stage_sha256.cache_clear()
        assert stage_sha256(given) not in hashes
    finally:
        path.write_text(text)
        stage_sha256.cache_clear()


def test_what_is_reported_is_part_of_the_datas_hash(options) -> None:
    files = options["scenes"].model_dump(include={"annotations", "images"})
    data = DataConfig(tune=files, select=options["pope"].model_copy(update={"when": None}))
    more = data.model_copy(update={"report": (options["mme"],)})
    assert data_sha256(data) != data_sha256(more)
    scenes = [DataConfig(scenes=ScenesConfig(select=name)) for name in OF_SCENES]
    assert len({data_sha256(one) for one in scenes}) == len(OF_SCENES)
    assert len({stage_sha256(one.scenes) for one in scenes}) == 1  # stage 1 has captions alone


def test_a_report_split_is_captionings_alone(options) -> None:
    with_split = [o.task for o in options.values() if getattr(o, "report_split", None)]
    assert with_split == ["scenes"]
    assert isinstance(options["scenes"], CaptioningConfig)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_score(value) -> None:
    with pytest.raises(TrialError, match=f"loss is {value}, which is no score"):
        Scored({"loss": value}, (), ())
