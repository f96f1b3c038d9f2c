"""What `lnt eval` is asked for, and what it leaves."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lnt_core.config import ScenesConfig
from lnt_core.data.scene_questions import scenes_data
from lnt_core.errors import ConfigError
from lnt_core.evaluation import answering
from lnt_core.evaluation.caption import write_merged
from lnt_core.models.plain import MERGED
from lnt_core.reporting import score_weights
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from sweeps.export.best import BEST, write_best
from sweeps.export.evaluate import asked, score
from sweeps.tracking.store import connect, experiment_id
from tests.lnt_core.evaluation.tasks import oracles
from tests.parts import TRAIN
from tests.servers import HANG_S
from tests.sweeps.cli.test_export import best_of

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


PIECES = ["Yes", "No", "no", "not", "yes", " ", " ", ".", ",", "a ", "two", "2", "red", "the "]


@pytest.mark.golden
def test_a_thousand_answers_score_as_by_the_official_rules(
    checkpoint, tmp_path, monkeypatch
) -> None:
    """Whatever a model says: the rules are applied to the published files and to what it said."""
    names = ["vqav2", "pope", "mme"]
    drawn = scenes_data(ScenesConfig(num_train=2, num_val=300, num_test=2, report=names), tmp_path)
    vqav2, pope, mme = drawn.report
    file = tmp_path / "tasks.yaml"
    content = [task.model_dump(mode="json", exclude_none=True) for task in drawn.report]
    file.write_text(yaml.safe_dump({"tasks": content}))
    rng = random.Random(0)

    def said(model, prompts, *_, **__) -> list[str]:
        return ["".join(rng.choices(PIECES, k=rng.randint(0, 4))) for _ in prompts]

    monkeypatch.setattr(answering, "greedy_answers", said)
    found = evaluated(checkpoint, file, tmp_path / "out").scores
    answers = {
        name: [
            json.loads(line)["answer"]
            for line in (tmp_path / "out" / f"answers_{name}.jsonl").read_text().splitlines()
        ]
        for name in names
    }
    people = [
        [given["answer"] for given in question["answers"]]
        for question in json.loads(Path(vqav2.annotations).read_text())["annotations"]
    ]
    assert len(people) > 1000
    expected = oracles.vqa(answers["vqav2"], people)[1]
    assert found["vqav2/vqa_accuracy"] == pytest.approx(expected, abs=1e-9)

    f1s, start = [], 0
    for category in ("random", "popular", "adversarial"):
        (published,) = Path(pope.annotations).glob(f"*{category}.json")
        labels = [json.loads(line)["label"] for line in published.read_text().splitlines()]
        f1s.append(oracles.pope(answers["pope"][start : start + len(labels)], labels)["f1"])
        start += len(labels)
    assert start == len(answers["pope"]) > 1000
    assert found["pope/f1"] == pytest.approx(sum(f1s) / 3, abs=1e-9)

    total, start = 0.0, 0
    for subtask in mme.subtasks:
        asked = [
            line
            for path in sorted((Path(mme.images) / subtask).glob("*.txt"))
            for line in path.read_text().splitlines()
        ]
        told = answers["mme"][start : start + len(asked)]
        start += len(asked)
        lines = [f"x.png\t{q}\t{a}\n" for q, a in zip(asked, told, strict=True)]
        total += oracles.mme(lines)["sum"]
    assert start == len(answers["mme"])
    assert found["mme/mme"] == pytest.approx(total, abs=1e-9)


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


@pytest.mark.heavy
def test_killed_in_the_middle_it_goes_on_to_the_summary_of_an_undisturbed_one(
    checkpoint, tasks, tmp_path
) -> None:
    content = yaml.safe_load(tasks.read_text())
    for task in content["tasks"]:
        task["batch_size"] = 1  # many batches, so that there is a middle
    slow = tasks.with_name("one_by_one.yaml")
    slow.write_text(yaml.safe_dump(content))
    lnt = str(Path(sys.executable).parent / "lnt")
    environment = {**os.environ, "LNT_CACHE": str(tmp_path / "cache")}
    environment.pop("MLFLOW_TRACKING_URI", None)

    def command(out: Path) -> list[str]:
        return [lnt, "eval", checkpoint, "--tasks", str(slow), "-o", str(out)]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command(killed), env=environment, stdout=log, stderr=log)
        until = time.monotonic() + HANG_S
        while len(_lines(killed)) < 4:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.002)
        process.kill()
        process.wait()
    assert not (killed / "answers_vqav2.jsonl").exists()  # the last of the tasks
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = subprocess.run(
        [*command(killed), "--tracking-uri", uri, "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = evaluated(checkpoint, slow, whole)
    assert json.loads(done.stdout)["scores"] == found.scores
    for path in whole.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes()
    client = connect(uri)
    (run,) = client.search_runs([experiment_id(client, "eval")])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == pytest.approx(found.scores)
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"summary.json", "answers_pope.jsonl", "answers_loss.jsonl"} <= artifacts


def _lines(folder: Path) -> list[str]:
    """What is recorded of the first task; it is renamed to nothing once that is done."""
    try:
        return (folder / "answers_pope.jsonl.part").read_text().splitlines()
    except FileNotFoundError:
        return []


@pytest.mark.heavy
@pytest.mark.parametrize("merged", [False, True])
def test_an_export_scores_on_the_tasks_of_its_sweep_what_its_trial_did(
    merged, trial_config, scenes, tmp_path
) -> None:
    files = scenes.select.model_dump(include={"annotations", "images"})
    held_out = {"task": "loss", **files}
    captions = {"task": "scenes", "max_new_tokens": 4, "report_split": None, **files}
    data = {"tune": scenes.tune, "select": captions, "report": [held_out]}
    cut = TRAIN | {"max_length": 40}  # in the midst of answers
    config = trial_config(strategy={"name": "lora"}, learning_rate=1e-2, data=data, train=cut)
    worker, silent = Worker(tmp_path / "cache"), lambda step, metrics: None
    trial = run_trial(config, out=tmp_path / "trial", report=silent, worker=worker)
    won = score_weights(config, tmp_path / "trial" / "weights", tmp_path / "won", worker=worker)
    folder = tmp_path / "export"
    shutil.copytree(tmp_path / "trial" / "weights", folder)
    write_best(best_of(config), folder / BEST)
    if merged:
        write_merged(config, folder, folder / MERGED, cache=tmp_path / "cache")
    given = asked(str(folder), **OPTIONS)
    assert (given.name, given.sweep) == ("lora of s", "s")
    found = score(given, tmp_path / "out", cache=tmp_path, device="cpu", told=lambda *_: None)
    expected = {"select/cider": trial.metrics["select/cider"], "loss/loss": won["loss/loss"]}
    assert found.scores == (pytest.approx(expected, rel=1e-5) if merged else expected)
