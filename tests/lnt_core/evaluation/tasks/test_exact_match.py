"""Answers that are those of the file."""

import json

import pytest

from lnt_core.config import ExactMatchConfig
from lnt_core.errors import DataError
from lnt_core.evaluation.tasks import ExactMatch
from lnt_core.evaluation.tasks.exact_match import plain


def write(folder, *conversations: list[str]) -> ExactMatchConfig:
    """A file of conversations, each a list of what is said in turn."""
    content = [
        {
            "id": str(number),
            "image": f"{number}.png",
            "conversations": [
                {"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(said)
            ],
        }
        for number, said in enumerate(conversations)
    ]
    (folder / "own.json").write_text(json.dumps(content))
    return ExactMatchConfig(
        task="exact_match", annotations=str(folder / "own.json"), images=str(folder)
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Red.", "red"),
        ("  the  RED\ncircle ", "the red circle"),
        ('"Stra\u00dfe"!', "strasse"),
        ("\uff12", "2"),
        ("3.5", "3.5"),
        ("it's", "it's"),
        ("- a - b -", "a - b"),
        ("...", ""),
    ],
)
def test_case_blanks_and_punctuation_at_the_ends_do_not_matter(text, same) -> None:
    assert plain(text) == same


def test_the_share_of_right_answers_is_the_score(tmp_path) -> None:
    task = ExactMatch(write(tmp_path, ["<image>\nWhat?", "Red."], ["Where?", "left"], ["Q", "2"]))
    assert [task.ask(question) for question in task.questions] == ["What?", "Where?", "Q"]
    scored = task.score([" red", "Left!", "two"])
    assert scored.summary == {"exact_match": pytest.approx(200 / 3, abs=1e-9)}
    assert scored.scores == scored.contributions == (100.0, 100.0, 0.0)


def test_an_entry_with_several_questions_is_refused(tmp_path) -> None:
    config = write(tmp_path, ["What?", "Red"], ["What?", "Red", "And now?", "Blue"])
    with pytest.raises(DataError, match=r"more than one question and answer: \[1\]; only one"):
        ExactMatch(config)
