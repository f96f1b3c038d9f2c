"""A scorer of one's own."""

import pytest

from lnt_core.config import CustomConfig
from lnt_core.errors import DataError, TrialError
from lnt_core.evaluation.tasks import Custom
from lnt_core.evaluation.tasks.custom import load_scorer
from tests.lnt_core.evaluation.tasks.test_exact_match import write

SCORERS = """
def length(questions, answers, references):
    assert questions == ["What?", "Where?"] and references == [["Red"], ["left"]]
    return [len(answer) for answer in answers]

def broken(questions, answers, references):
    return [answers[0][100]] * 2

def nothing(questions, answers, references):
    return [1.0, float("nan")]

def words(questions, answers, references):
    return answers

def short(questions, answers, references):
    return [1.0]

def none(questions, answers, references):
    pass

constant = 3
"""


@pytest.fixture
def custom(tmp_path, monkeypatch):
    (tmp_path / "own_scorers_of_a_test.py").write_text(SCORERS)
    monkeypatch.syspath_prepend(tmp_path)
    own = write(tmp_path, ["What?", "Red"], ["Where?", "left"])

    def made(name: str, **options) -> Custom:
        scorer = f"own_scorers_of_a_test:{name}"
        files = {"annotations": own.annotations, "images": own.images}
        return Custom(CustomConfig(task="custom", scorer=scorer, **files, **options))

    return made


@pytest.mark.parametrize(("direction", "name"), [("max", "score"), ("min", "cost")])
def test_the_mean_of_its_scores_is_the_trials(direction, name, custom) -> None:
    task = custom("length", direction=direction)
    assert task.metric == name
    scored = task.score(["abc", "d"])
    assert scored.summary == {name: 2.0}
    assert scored.scores == scored.contributions == (3.0, 1.0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "raised IndexError: string index out of range"),
        ("nothing", "returned nan for question 1, counted from 0; a score must be a finite number"),
        ("words", "returned 'abc' for question 0"),
        ("short", "returned 1 scores for 2 questions; it must return one for each"),
        ("none", "raised TypeError"),
    ],
)
def test_a_scorer_that_fails_is_an_error_of_the_trial(name, told, custom) -> None:
    with pytest.raises(TrialError, match=f"the scorer own_scorers_of_a_test:{name} {told}"):
        custom(name).score(["abc", "d"])


@pytest.mark.parametrize(
    ("name", "told"), [("missing", "is not a function"), ("constant", "is not a function")]
)
def test_a_scorer_that_is_none_is_refused(name, told, custom) -> None:
    with pytest.raises(DataError, match=told):
        custom(name)


def test_a_module_that_cannot_be_imported_is_refused() -> None:
    with pytest.raises(DataError, match=r"cannot be imported \(ModuleNotFoundError"):
        load_scorer("there_is_no_such_module:length")
