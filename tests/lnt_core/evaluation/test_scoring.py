"""Tasks scored in a folder, over a kill."""

import json

import pytest

from lnt_core.config import LossConfig, ScenesConfig
from lnt_core.data.scene_questions import scenes_data
from lnt_core.errors import TrialError
from lnt_core.evaluation import answering
from lnt_core.evaluation.answering import Answering
from lnt_core.evaluation.held_out import HeldOut
from lnt_core.evaluation.scoring import score_tasks, scores_in
from lnt_core.evaluation.tasks import make_task
from lnt_core.models.features import FeatureStore


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    scenes = ScenesConfig(num_train=4, num_val=4, num_test=2, select="pope", report=["exact_match"])
    return scenes_data(scenes, tmp_path_factory.mktemp("drawn"))


def tasks(base, drawn):
    short = {"batch_size": 2, "max_new_tokens": 2}
    asked = [o.model_copy(update=short) for o in (drawn.select, *drawn.report)]
    files = drawn.tune.model_dump(include={"images"})
    own = drawn.report[0].annotations
    loss = LossConfig(task="loss", annotations=own, split=None, batch_size=2, **files)
    return [
        *(Answering(make_task(o), o.task, base.conversations, seed=0) for o in asked),
        HeldOut(make_task(loss), "loss", base.conversations, max_length=512),
    ]


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_after_a_kill_it_goes_on_and_leaves_what_an_undisturbed_one_leaves(
    base, drawn, tmp_path, monkeypatch
) -> None:
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    scores = score_tasks(model, store, tasks(base, drawn), tmp_path / "whole")
    assert {"pope/f1", "exact_match/exact_match", "loss/loss"} <= scores.keys()
    real, left, runs = answering.greedy_answers, [3], []

    def mortal(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            left[0] = 3
            raise KilledError
        runs.append(args[1])
        return real(*args, **options)

    monkeypatch.setattr(answering, "greedy_answers", mortal)
    kills = 0
    while True:
        try:
            found = score_tasks(model, store, tasks(base, drawn), tmp_path / "killed")
            break
        except KilledError:
            kills += 1
            with next((tmp_path / "killed").glob("*.part")).open("a") as file:
                file.write('["an ans')
    assert kills > 2
    assert found == scores
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    whole = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert whole["pope"]["questions"] == len(
        contents(tmp_path / "whole")["answers_pope.jsonl"].splitlines()
    )
    monkeypatch.setattr(answering, "greedy_answers", None)  # nothing is asked again
    assert score_tasks(model, store, tasks(base, drawn), tmp_path / "killed") == scores


def test_a_damaged_file_is_made_again(base, drawn, tmp_path, caplog) -> None:
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    scores = score_tasks(model, store, tasks(base, drawn), tmp_path)
    before = contents(tmp_path)
    (tmp_path / "answers_pope.jsonl").write_text("{")
    assert score_tasks(model, store, tasks(base, drawn), tmp_path) == scores
    assert contents(tmp_path) == before
    (tmp_path / "summary.json").write_text("{")
    assert score_tasks(model, store, tasks(base, drawn), tmp_path) == scores
    assert "the tasks in it are scored again" in caplog.text


def test_a_task_that_fails_costs_no_other_its_scores_and_is_not_asked_again(
    base, drawn, tmp_path, monkeypatch
) -> None:
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    given = tasks(base, drawn)

    def broken(answers):
        raise TrialError("no")

    monkeypatch.setattr(given[0].task, "score", broken)
    with pytest.raises(TrialError, match="pope cannot be scored: no"):
        score_tasks(model, store, given, tmp_path)
    assert scores_in(tmp_path).keys() == {"exact_match/exact_match", "loss/loss"}
    monkeypatch.setattr(answering, "greedy_answers", None)  # the answers are there
    assert "pope/f1" in score_tasks(model, store, tasks(base, drawn), tmp_path)
