"""What `lnt eval` is asked for, and what it leaves."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from lnt_core.config import ScenesConfig
from lnt_core.data.scene_questions import scenes_data
from lnt_core.errors import ConfigError
from sweeps.export.evaluate import asked, score

OPTIONS = {"tasks": None, "with_sweeps": False, "precision": None, "limit": None}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> Path:
    """A file of tasks on drawn scenes, with paths relative to it."""
    folder = tmp_path_factory.mktemp("tasks")
    names = ["pope", "mme", "exact_match", "loss", "vqav2"]
    drawn = scenes_data(ScenesConfig(num_train=4, num_val=4, num_test=2, report=names), folder)
    content = [task.model_dump(mode="json", exclude_none=True) for task in drawn.report]
    for task in content:
        for key in ("annotations", "questions", "images"):
            if key in task:
                task[key] = str(Path(task[key]).relative_to(folder))
        if "max_new_tokens" in task:
            task["max_new_tokens"] = 2
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": content}))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, parts) -> str:
    """The micro model as a whole checkpoint."""
    from lnt_core.models.build import load_base
    from lnt_core.models.plain import save_plain
    from tests.parts import model_config

    folder = tmp_path_factory.mktemp("whole")
    base = load_base(model_config(parts), cache=folder)
    save_plain(base, base.model, folder / "checkpoint", max_new_tokens=8)
    return str(folder / "checkpoint")


def evaluated(model: str, tasks: Path, out: Path, **changes):
    given = asked(model, **(OPTIONS | {"tasks": tasks} | changes))
    return score(given, out, cache=out.parent, device="cpu", told=lambda *_: None)


def test_a_whole_checkpoint_is_scored_on_every_task_of_a_file(checkpoint, tasks, tmp_path) -> None:
    found = evaluated(checkpoint, tasks, tmp_path / "out")
    mains = {"pope/f1", "mme/mme", "exact_match/exact_match", "loss/loss", "vqav2/vqa_accuracy"}
    assert mains <= found.scores.keys()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["pope"]["scores"]["f1"] == found.scores["pope/f1"]
    rows = (tmp_path / "out" / "answers_pope.jsonl").read_text().splitlines()
    assert {"answer", "score", "question", "references"} <= json.loads(rows[0]).keys()


def test_a_limit_takes_the_first_questions_of_each_part(checkpoint, tasks, tmp_path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    evaluated(checkpoint, tasks, whole)
    evaluated(checkpoint, tasks, out, limit=3)
    count = {"pope": 3 * 3, "mme": 4 * 4, "exact_match": 3, "loss": 3, "vqav2": 3}
    for name, number in count.items():
        rows = (out / f"answers_{name}.jsonl").read_text().splitlines()
        assert len(rows) == number, name
        full = [
            json.loads(line) for line in (whole / f"answers_{name}.jsonl").read_text().splitlines()
        ]
        answers = {row["id"]: row.get("answer", row.get("nats")) for row in full}
        for row in map(json.loads, rows):
            assert answers[row["id"]] == pytest.approx(row.get("answer", row.get("nats")))


def test_a_folder_holds_one_evaluation(checkpoint, tasks, tmp_path) -> None:
    out = tmp_path / "out"
    evaluated(checkpoint, tasks, out, limit=2)
    with pytest.raises(ConfigError, match="which differs in limit; choose another folder"):
        evaluated(checkpoint, tasks, out, limit=3)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("")
    with pytest.raises(ConfigError, match="which has other files; choose another folder"):
        evaluated(checkpoint, tasks, other)


@pytest.mark.parametrize(
    ("model", "changes", "told"),
    [
        ("nowhere/nothing", {}, "neither a folder of `lnt export`, nor one with a config.json"),
        ("HERE", {"tasks": None}, "name a file with --tasks"),
        ("HERE", {"with_sweeps": True}, "leave out --sweep-tasks"),
    ],
)
def test_what_cannot_be_scored_is_refused(model, changes, told, checkpoint, tasks) -> None:
    with pytest.raises(ConfigError, match=told):
        asked(model.replace("HERE", checkpoint), **(OPTIONS | {"tasks": tasks} | changes))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"tasks": []}, "tasks"),
        ({"tasks": [{"task": "pope", "annotations": "no", "images": "."}]}, "there is no folder"),
        ({"tasks": [{"task": "pop"}]}, "tasks"),
        ({"tasks": [{"task": "loss", "annotations": "a"}] * 2}, "several tasks called loss"),
    ],
)
def test_a_bad_file_of_tasks_is_refused(content, told, checkpoint, tmp_path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=told):
        asked(checkpoint, **(OPTIONS | {"tasks": path}))


def test_other_weights_of_the_same_name_are_not_mixed(checkpoint, tasks, tmp_path) -> None:
    copied = tmp_path / "model"
    shutil.copytree(checkpoint, copied)
    evaluated(str(copied), tasks, tmp_path / "out", limit=2)
    weights = next(copied.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ConfigError, match="differs in files"):
        evaluated(str(copied), tasks, tmp_path / "out", limit=2)
