"""What winners are scored on at the end, in the plan."""

import pytest

from lnt_core.accounting.lengths import TOKENS_PER_WORD
from lnt_core.config import ScenesConfig
from lnt_core.data.scene_questions import scenes_data
from sweeps.config import SweepConfig
from sweeps.plan.costs import Costs
from sweeps.plan.planned import plan
from sweeps.plan.reports import planned_reports


@pytest.fixture(scope="module")
def content(tmp_path_factory, parts) -> dict:
    scenes = ScenesConfig(num_train=4, num_val=4, num_test=2, report=["pope", "exact_match"])
    drawn = scenes_data(scenes, tmp_path_factory.mktemp("drawn"))
    given = drawn.model_dump(mode="json", exclude_none=True)
    return {
        "name": "s",
        "model": {"language_model": parts[0], "vision_tower": parts[1], "conversation": "plain"},
        "data": {key: given[key] for key in ("tune", "select", "report")},
        "search": {"strategy": ["layernorm", "full"], "learning_rate": [1e-3, 1e-4]},
        "resources": {"gpu_peak_tflops": 100, "mfu": 0.5},
    }


def test_it_is_twice_the_weights_for_each_token_of_each_question_and_model(content) -> None:
    sweep = SweepConfig.model_validate(content)
    found = plan(sweep).reports
    assert (found.tasks, found.num_winners) == (("pope", "exact_match"), 2)
    costs = Costs(sweep, files=True)
    weights = sum(p.numel() for p in costs._skeleton.parameters())
    weights -= sum(p.numel() for n, p in costs._skeleton.named_parameters() if "vision_tower" in n)
    pope, own = sweep.data.report
    questions = {"pope": 3 * 4 * 2, "exact_match": found.num_questions - 24}
    words = {task.task: 20 + len(task.prompt.split()) for task in (pope, own)}
    tokens = {
        task.task: costs._image_tokens
        + round(TOKENS_PER_WORD * words[task.task])
        + task.max_new_tokens
        for task in (pope, own)
    }
    each = sum(questions[name] * tokens[name] for name in questions)
    assert found.pflop == pytest.approx(2 * weights * each * 3 / 1e15)
    assert found.gpu_hours == pytest.approx(found.pflop * 1e15 / (100e12 * 0.5) / 3600)
    assert (
        f"2 winners and the untuned base are scored on pope, exact_match, {found.num_questions}"
        in (found.line())
    )


def test_without_files_the_questions_are_not_counted(content) -> None:
    sweep = SweepConfig.model_validate(content)
    found = planned_reports(sweep, Costs(sweep, files=False), files=False)
    assert (found.num_questions, found.gpu_hours) == (None, None)
    assert found.line() == "Then 2 winners and the untuned base are scored on pope, exact_match."


def test_what_trials_are_scored_on_is_none_of_it(content) -> None:
    report = [task | {"when": "trials"} for task in content["data"]["report"]]
    sweep = SweepConfig.model_validate(content | {"data": content["data"] | {"report": report}})
    assert planned_reports(sweep, Costs(sweep, files=False), files=False) is None
