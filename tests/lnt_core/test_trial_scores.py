"""Scores of a trial's model, where one task fails."""

import shutil
from pathlib import Path

import pytest

from lnt_core.accounting.gathering import Gathering
from lnt_core.errors import TrialError
from lnt_core.trial_scores import evaluate
from lnt_core.worker import Worker
from tests.lnt_core.evaluation.tasks.test_exact_match import write

pytestmark = pytest.mark.heavy


def raising(questions, answers, references):
    raise ValueError("not these")


def test_a_task_that_fails_may_be_excused_and_the_others_are_scored(
    trial_config, tmp_path, scenes
) -> None:
    files = write(tmp_path, ["What?", "Red"], ["Where?", "left"]).model_dump(
        include={"annotations", "images"}
    )
    for number in range(2):
        shutil.copy(next(Path(scenes.tune.images).iterdir()), tmp_path / f"{number}.png")
    scorer = f"{__name__}:raising"
    own = {"task": "custom", "scorer": scorer, "max_new_tokens": 2, **files}
    files = scenes.select.model_dump(include={"annotations", "images"})
    held_out = {"task": "loss", "when": "trials", **files}
    data = {"tune": scenes.tune, "select": own, "report": [held_out]}
    prepared = Worker(tmp_path / "cache").prepare(trial_config(data=data))
    gathering = Gathering(prepared.base.trial_copy(), prepared.base.device)
    excused: list[str] = []
    scores = evaluate(gathering, prepared, tmp_path, bf16=False, excused=excused)
    assert "loss/loss" in scores
    assert "select/score" not in scores
    told = f"the scorer {scorer} raised ValueError: not these"
    assert excused == [f"select cannot be scored: {told}"]
    with pytest.raises(TrialError, match="not these"):
        evaluate(gathering, prepared, tmp_path, bf16=False)
