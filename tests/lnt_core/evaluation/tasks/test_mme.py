"""MME's scores, as the official tool computes them."""

import random

import pytest

from lnt_core.config import MmeConfig
from lnt_core.errors import DataError
from lnt_core.evaluation.tasks import Mme
from lnt_core.evaluation.tasks.mme import is_right, verdict
from tests.lnt_core.evaluation.tasks import oracles

VERDICTS = [
    ("yes", "yes"),
    ("no", "no"),
    ("yes\n", "yes"),
    ("no\n", "no"),
    ("yes, it is.\n", "yes"),
    ("no, it is not.\n", "no"),
    ("not sure\n", "no"),
    ("nothing\n", "no"),
    ("i know\n", "other"),  # "i kn": the fourth character is the last that counts
    ("i do\n", "other"),
    ("i don't\n", "other"),
    ("\n", "other"),
    ("", "other"),
    ("ayes\n", "yes"),
    (" yes\n", "yes"),
    ("  yes\n", "other"),  # "  ye"
    ("a no\n", "no"),
    ("it is yes\n", "other"),
    ("eyes no\n", "yes"),
    ("noyes\n", "no"),
    ("y\n", "other"),
    ("n\n", "other"),
    ("maybe\n", "other"),
]


@pytest.mark.parametrize(("answer", "expected"), VERDICTS)
def test_the_first_four_characters_decide(answer, expected) -> None:
    assert verdict(answer) == expected


LINES = [
    ("a.jpg\tIs it?\tYes\tYes\n", True),
    ("a.jpg\tIs it?\tNo\tYes\n", False),
    ("a.jpg\tIs it?\tNo\tNot sure\n", True),
    ("a.jpg\tIs it?\tYes\tperhaps\n", False),
    ("a.jpg\tIs it?\tYes\t\n", False),
    ("a.jpg\tIs it?\tYes\n", None),  # three fields
    ("a.jpg\tIs it?\tYes\tYes\tit is\n", None),  # five
    ("\n", None),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_a_line_without_four_fields_is_skipped(line, expected) -> None:
    assert is_right(line) is expected


def task(folder, num_images: dict[str, int], labels=("Yes", "No")) -> Mme:
    """A task with images in the two layouts of the release."""
    for number, (name, count) in enumerate(num_images.items()):
        texts = images = folder / name
        if number % 2:
            texts, images = folder / name / "questions_answers_YN", folder / name / "images"
        for place in (texts, images):
            place.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (images / f"{i:04d}.{'png' if i % 2 else 'jpg'}").touch()
            lines = [
                f"Is it {n}? Please answer yes or no.\t{label}" for n, label in enumerate(labels)
            ]
            (texts / f"{i:04d}.txt").write_text("\n".join(lines) + "\n\n")
    return Mme(MmeConfig(task="mme", images=str(folder), subtasks=tuple(num_images)))


def test_both_right_count_once_more_and_skipped_lines_are_left_out_of_acc_alone(tmp_path) -> None:
    found = task(tmp_path, {"count": 3, "OCR": 1, "code_reasoning": 1})
    assert [q.image.name for q in found.questions[:4:2]] == ["0000.jpg", "0001.png"]
    answers = ["Yes", "No", "yes", "Yes", "No\tway", "no"]  # both right; one; skipped and right
    scored = found.score([*answers, "Yes", "\nNo, not it", "nothing", "yes"])
    assert scored.summary == pytest.approx(
        {
            "mme": 80 + 100 / 3 + 200 + 0,
            "perception": 80 + 100 / 3 + 200,
            "cognition": 0,
            "count/acc": 80,
            "count/acc_plus": 100 / 3,
            "count": 80 + 100 / 3,
            "OCR/acc": 100,
            "OCR/acc_plus": 100,
            "OCR": 200,
            "code_reasoning/acc": 0,
            "code_reasoning/acc_plus": 0,
            "code_reasoning": 0,
        },
        abs=1e-9,
    )


def test_a_thousand_answers_score_as_by_the_official_rules(tmp_path) -> None:
    rng = random.Random(0)
    sizes = {"existence": 100, "posters": 150, "color": 50, "text_translation": 200}
    found = task(tmp_path, sizes)
    pieces = ["Yes", "No", "no", "yes", " ", "\t", "\n", "Not sure", "I don't", ".", "i"]
    answers = ["".join(rng.choices(pieces, k=rng.randint(0, 3))) for _ in range(1000)]
    scored, start, total = found.score(answers), 0, 0.0
    for name, size in sizes.items():
        lines = [
            f"x.jpg\tIs it?\t{('Yes', 'No')[i % 2]}\t{answer.replace(chr(10), ' ')}\n"
            for i, answer in enumerate(answers[start : start + 2 * size])
        ]
        start += 2 * size
        expected = oracles.mme(lines)
        assert scored.summary[f"{name}/acc"] == pytest.approx(expected["acc"], abs=1e-9)
        assert scored.summary[f"{name}/acc_plus"] == pytest.approx(expected["acc_plus"], abs=1e-9)
        assert scored.summary[name] == pytest.approx(expected["sum"], abs=1e-9)
        total += expected["sum"]
    assert scored.summary["mme"] == pytest.approx(total, abs=1e-9)
    assert sum(scored.contributions) / 1000 == pytest.approx(total, abs=1e-9)


def test_the_question_is_asked_in_llavas_words(tmp_path) -> None:
    found = task(tmp_path, {"count": 1})
    assert found.ask(found.questions[0]) == (
        "Is it 0?\nAnswer the question using a single word or phrase."
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [(("Yes",), "has 1 questions, but must have 2"), (("Yes", "Maybe"), "Yes or No")],
)
def test_a_file_without_two_questions_is_named(labels, told, tmp_path) -> None:
    with pytest.raises(DataError, match=rf"0000\.txt.*{told}"):
        task(tmp_path, {"count": 1}, labels)
