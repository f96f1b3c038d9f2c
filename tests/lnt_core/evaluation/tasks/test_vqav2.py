"""VQA accuracy, as the official script computes it."""

import json
import random

import pytest

from lnt_core.config import VQAv2Config
from lnt_core.evaluation.tasks import VQAv2
from lnt_core.evaluation.tasks.contractions import CONTRACTIONS
from lnt_core.evaluation.tasks.vqav2 import accuracy, normalised
from tests.lnt_core.evaluation.tasks import oracles

NORMALISED = [
    ("yes", "yes"),
    ("Yes", "yes"),
    ("YES!", "yes"),  # the mark becomes a blank, and blanks at the ends go
    ("yes.", "yes"),
    ("yes, it is", "yes it is"),  # a comma before a blank is deleted
    ("yes,it is", "yes it is"),  # another one becomes a blank
    ("a dog", "dog"),
    ("The An a", ""),
    ("theater", "theater"),
    ("two", "2"),
    ("None", "0"),
    ("zero", "0"),
    ("ten", "10"),
    ("eleven", "eleven"),
    ("twenty-two", "twenty 2"),
    ("two-tone", "2 tone"),
    ("1,000", "1000"),  # a comma between digits: every mark is deleted, not replaced
    ("1,000-2,000", "10002000"),
    ("a/b", "b"),  # "a b", without the article
    ("c/d", "c d"),
    ("c / d", "c d"),
    ("c /d", "c d"),
    ("red&blue", "red&blue"),  # is no mark of the list
    ("it's", "it's"),
    ("its", "its"),
    ("dont", "don't"),
    ("Dont", "don't"),
    ("don't", "don't"),
    ("im", "im"),  # the table has only "Im", which no lower-case word is
    ("ive", "ive"),
    ("couldntve", "couldntve"),
    ("couldn'tve", "couldn't've"),
    ("somebody'd", "somebodyd"),
    ("lets", "lets"),
    ("oclock", "o'clock"),
    ("10:30", "10:30"),  # the colon stays
    ("3.5", "3.5"),
    ("3.", "3"),
    ("3.a", "3a"),
    ("u.s.a.", "usa"),
    ("a.m.", "am"),
    (".5", ".5"),
    ("...", ""),
    ("." * 40, "." * 8),  # at most 32 periods go
    ("(left)", "left"),
    ("[x]{y}", "x y"),
    ('"stop"', "stop"),
    ("50%", "50%"),
    ("$5", "$5"),
    ("black and  white", "black and white"),
    ("what?", "what"),
    ("a_b", "b"),
    ("@home", "home"),
    ("`", ""),
    ("\u00e9t\u00e9", "\u00e9t\u00e9"),
]


@pytest.mark.parametrize(("text", "expected"), NORMALISED)
def test_an_answer_is_normalised_as_by_the_official_script(text, expected) -> None:
    assert normalised(text) == expected
    assert oracles.vqa_clean(text) == expected


def people(**counts: int) -> list[str]:
    """Ten answers."""
    answers = [text.replace("_", " ") for text, count in counts.items() for _ in range(count)]
    assert len(answers) == 10
    return answers


ACCURACIES = [
    ("yes", people(yes=10), 1.0),
    ("Yes", people(yes=10), 0.0),  # all ten agree: nothing is normalised
    ("yes.", people(yes=10), 0.0),
    (" yes\n", people(yes=10), 1.0),  # blanks and line breaks at the ends always go
    ("a dog", people(a_dog=10), 1.0),
    ("dog", people(a_dog=10), 0.0),
    ("Yes", people(yes=9, no=1), 1.0),
    ("no", people(yes=9, no=1), 0.3),
    ("no", people(yes=8, no=2), 0.6),
    ("no", people(yes=7, no=3), 0.9),
    ("no", people(yes=6, no=4), 1.0),
    ("maybe", people(yes=6, no=4), 0.0),
    ("", people(yes=6, no=4), 0.0),
    ("two", people(two=3, three=7), 0.9),
    ("2", people(two=2, a_two=1, three=7), 0.9),
    ("the 2", people(two=1, three=9), 0.3),
    ("red, white", people(red_white=4, red=6), 1.0),
]


@pytest.mark.parametrize(("answer", "given", "expected"), ACCURACIES)
def test_an_answer_is_right_if_three_of_the_nine_others_gave_it(answer, given, expected) -> None:
    assert accuracy(answer, given) == pytest.approx(expected, abs=1e-9)


def test_the_contractions_are_those_of_the_official_table() -> None:
    assert CONTRACTIONS == oracles.RESTORED


def task(folder, given: list[list[str]]) -> VQAv2:
    """A task of questions with these answers."""
    questions = [
        {"question_id": 10 + i, "image_id": i, "question": f"What is {i}?"}
        for i in range(len(given))
    ]
    annotations = [
        {
            "question_id": 10 + i,
            "image_id": i,
            "answer_type": ("yes/no", "number", "other")[i % 3],
            "question_type": "what",
            "multiple_choice_answer": answers[0],
            "answers": [
                {"answer": text, "answer_confidence": "yes", "answer_id": n}
                for n, text in enumerate(answers, start=1)
            ],
        }
        for i, answers in enumerate(given)
    ]
    (folder / "questions.json").write_text(json.dumps({"questions": questions}))
    (folder / "annotations.json").write_text(json.dumps({"annotations": annotations}))
    return VQAv2(
        VQAv2Config(
            task="vqav2",
            questions=str(folder / "questions.json"),
            annotations=str(folder / "annotations.json"),
            images=str(folder),
        )
    )


PIECES = ["yes", "No", "a", "the", "two", "1,000", "3.5", "dont", "red", "-", ".", ",", "/", "?"]
PIECES += [" ", " ", " ", "\n", "\t", "couldn'tve", "!", "none", "(", "o'clock", "."]


def text(rng: random.Random) -> str:
    return "".join(rng.choices(PIECES, k=rng.randint(0, 6)))


def test_a_thousand_answers_score_as_by_the_official_rules(tmp_path) -> None:
    rng = random.Random(0)
    given, answers = [], []
    for _ in range(1000):
        choices = [text(rng) for _ in range(rng.randint(1, 4))]
        given.append([rng.choice(choices) for _ in range(10)])
        answers.append(rng.choice([*choices, choices[0].upper(), text(rng)]))
    scored = task(tmp_path, given).score(answers)
    each, overall = oracles.vqa(answers, given)
    assert 20 < overall < 80
    assert scored.scores == pytest.approx(each, abs=1e-9)
    assert scored.summary["vqa_accuracy"] == pytest.approx(overall, abs=1e-9)
    for number, kind in enumerate(("yes_no", "number", "other")):
        expected = oracles.vqa(answers[number::3], given[number::3])[1]
        assert scored.summary[f"accuracy_{kind}"] == pytest.approx(expected, abs=1e-9)
    mean = sum(scored.contributions) / len(scored.contributions)
    assert mean == pytest.approx(overall, abs=0.005 + 1e-9)


def test_the_middle_is_rounded_up_as_in_python_2(tmp_path) -> None:
    """0.3 of 240 is 0.125 %, which Python 3 rounds to 0.12."""
    given = [people(yes=9, no=1)] * 240
    scored = task(tmp_path, given).score(["no"] + [""] * 239)
    assert scored.summary["vqa_accuracy"] == 0.13


def test_prompt_and_image_are_as_published(tmp_path) -> None:
    found = task(tmp_path, [people(yes=10)] * 2)
    assert found.ask(found.questions[1]) == (
        "What is 1?\nAnswer the question using a single word or phrase."
    )
    assert found.questions[1].image.name == "COCO_val2014_000000000001.jpg"
