"""Sweeps that choose by another task than captioning, and report further ones."""

import json

import pytest

from tests.e2e.conftest import kill
from tests.micro import STAGE

pytestmark = pytest.mark.sweep
SHORT = {"max_steps": 12, **STAGE}
REPORTED = {"vqav2": "vqa_accuracy", "pope": "f1", "mme": "mme", "exact_match": "exact_match"}
SCORER = '''
def score(questions, answers, references):
    """Lower is better. It raises for the base, and is NaN for a trial that answers otherwise."""
    assert all(references) and len(questions) == len(answers)
    if not BASE.exists():
        BASE.write_text(repr(answers))
        raise ValueError("not for the base")
    if BASE.read_text() != repr(answers):
        return [float("nan")] * len(answers)
    return [len(answer) for answer in answers]
'''


def test_the_lowest_loss_wins_and_winners_are_scored_on_other_tasks(micro_with, micro) -> None:
    """The sweep is killed while winners are being scored, and resumed."""
    scenes = micro["data"]["scenes"] | {"select": "loss", "report": [*REPORTED]}
    rates = {"strategy": ["layernorm"], "learning_rate": [2e-3, 1e-4]}
    sweep = micro_with(data={"scenes": scenes}, search=rates, train=SHORT)
    driver = sweep.start("run", "sweep.yaml")
    partial = "lnt_runs/small/*/reported/*/answers_*.jsonl"
    sweep.wait_until(lambda: bool(list(sweep.folder.glob(partial))))
    kill(driver)
    assert "Untuned base: loss" in (sweep.folder / "driver.log").read_text()
    trained = [path.stat().st_mtime_ns for path in sweep.files("result.json")]
    sweep.lnt("run", "sweep.yaml", "--resume")  # of base and winner, either may be scored by now
    assert [path.stat().st_mtime_ns for path in sweep.files("result.json")] == trained
    client, runs = sweep.runs()
    trials = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    lowest = {}
    for run in trials:
        key, loss = run.data.tags["lnt.strategy"], run.data.metrics["select/loss"]
        lowest[key] = min(lowest.get(key, float("inf")), loss)
    mains = {f"{task}/{name}" for task, name in REPORTED.items()}
    for run in trials:
        won = run.data.metrics["select/loss"] in lowest.values()
        assert (mains & run.data.metrics.keys()) == (mains if won else set())
        artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
        answers = {f"answers_{task}.jsonl" for task in REPORTED}
        assert artifacts & answers == (answers if won else set())
        points = [client.get_metric_history(run.info.run_id, name) for name in mains if won]
        assert all(len(of_task) == 1 for of_task in points)
    best = sweep.best()
    assert all(winner["reported"].keys() == mains for winner in best["winners"])
    assert best["base_reported"].keys() == mains
    found = [(w["strategy"], w["score"]) for w in best["winners"]]
    assert found == sorted(lowest.items(), key=lambda item: item[1])
    assert best["base_score"] > found[0][1]
    assert best["metric"] == "select/loss on scenes val"
    (parent,) = (run for run in runs if run.data.tags["lnt.kind"] == "sweep")
    assert parent.data.metrics["best/select/loss"] == found[0][1]
    tasks = {file.path for file in client.list_artifacts(parent.info.run_id, "base")}
    assert {"base/tasks.json", "base/reported"} <= tasks
    assert {f"base/{task}/{name}" for task, name in REPORTED.items()} <= parent.data.metrics.keys()
    report = sweep.lnt("report", "small", "--format", "md")
    assert all(f"| {name} |" in report for name in ("loss", "VQAv2", "POPE F1", "MME"))


def test_a_scorer_that_fails_costs_the_base_its_score_and_trials_themselves(
    micro_with, tmp_path
) -> None:
    (tmp_path / "a_scorer_of_this_test.py").write_text(
        f"from pathlib import Path\nBASE = Path({str(tmp_path / 'base')!r})\n{SCORER}"
    )
    images = tmp_path / "images"
    images.mkdir()
    from lnt_core.config import ScenesConfig
    from lnt_core.data.scene_questions import scenes_data

    drawn = scenes_data(
        ScenesConfig(num_train=60, num_val=4, num_test=2, select="exact_match"), tmp_path
    )
    files = drawn.select.model_dump(include={"annotations", "images", "max_new_tokens"})
    own = {"task": "custom", "scorer": "a_scorer_of_this_test:score", "direction": "min", **files}
    tune = drawn.tune.model_dump(include={"annotations", "images"})
    rates = {"strategy": ["layernorm"], "learning_rate": [1e-2, 1e-9]}
    sweep = micro_with(data={"tune": tune, "select": own}, search=rates, train=SHORT)
    sweep.environment["PYTHONPATH"] = f"{tmp_path}:{sweep.environment.get('PYTHONPATH', '')}"
    told = sweep.lnt("run", "sweep.yaml", expect=1)
    raised = "the scorer a_scorer_of_this_test:score raised ValueError: not for the base"
    assert f"Untuned base: select cannot be scored: {raised}" in told
    _, runs = sweep.runs()
    notes = [run.data.tags.get("lnt.base_note", "") for run in runs]
    assert sum(raised in note for note in notes) == 1
    results = [json.loads(path.read_text()) for path in sweep.files("result.json")]
    failed = [result["error"] for result in results if result["status"] == "failed"]
    assert len(failed) == 1
    assert "the scorer a_scorer_of_this_test:score returned nan for question 0" in failed[0]
    best = sweep.best()
    (winner,) = best["winners"]
    assert winner["learning_rate"] == 1e-9
    assert best["base_score"] is None
