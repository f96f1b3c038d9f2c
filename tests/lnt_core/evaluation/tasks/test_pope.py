"""POPE's scores, as the official script computes them."""

import json
import random

import pytest

from lnt_core.config import PopeConfig
from lnt_core.evaluation.tasks import Pope
from lnt_core.evaluation.tasks.pope import Counts, says_yes
from tests.lnt_core.evaluation.tasks import oracles

CATEGORIES = ("random", "popular", "adversarial")
SAID = [
    ("Yes", True),
    ("yes, there is.", True),
    ("No", False),
    ("no", False),
    ("No.", False),
    ("No, there is no dog.", False),
    ("NO", True),  # is none of the three words
    ("nO", True),
    ("No\nthe", True),  # words end at blanks only
    ("No\n", True),
    ("No the", False),
    ("not at all", False),
    ("Not at all", True),
    ("none", True),
    ("There is not", False),
    ("There isn't", True),
    ("maybe", True),
    ("", True),
    (".No", True),  # the first sentence is empty
    ("Yes. No", True),  # only the first sentence counts
    ("A dog, no", False),
    ("A,no", True),  # "Ano"
    ("n,o", False),
    ("no?", True),
    ("I do not know", False),
    ("  no", False),
]


@pytest.mark.parametrize(("answer", "expected"), SAID)
def test_whatever_does_not_deny_is_a_yes(answer, expected) -> None:
    assert says_yes(answer) is expected


COUNTS = [
    # true yes, false yes, true no, false no -> f1, accuracy, precision, recall, share of yes
    ((1, 0, 1, 0), (100.0, 100.0, 100.0, 100.0, 50.0)),
    ((3, 1, 4, 2), (200 / 3, 70.0, 75.0, 60.0, 40.0)),
    ((2, 2, 0, 0), (200 / 3, 50.0, 50.0, 100.0, 100.0)),  # no "no" at all
    ((0, 0, 2, 2), (0.0, 50.0, 0.0, 0.0, 0.0)),  # no "yes" at all
    ((0, 3, 1, 0), (0.0, 25.0, 0.0, 0.0, 75.0)),  # nothing is there
    ((0, 1, 1, 1), (0.0, 100 / 3, 0.0, 0.0, 100 / 3)),
]


@pytest.mark.parametrize(("counted", "expected"), COUNTS)
def test_scores_of_a_category(counted, expected) -> None:
    assert tuple(Counts(*counted).summary.values()) == pytest.approx(expected, abs=1e-9)


def task(folder, labels: dict[str, list[str]]) -> Pope:
    """A task with these labels in its three files."""
    for category, of_category in labels.items():
        lines = [
            {"question_id": i, "image": f"{i}.jpg", "text": "Is there a dog?", "label": label}
            for i, label in enumerate(of_category, start=1)
        ]
        path = folder / f"coco_pope_{category}.json"
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return Pope(PopeConfig(task="pope", annotations=str(folder), images=str(folder)))


def test_a_thousand_answers_score_as_by_the_official_rules(tmp_path) -> None:
    rng = random.Random(0)
    sizes = dict(zip(CATEGORIES, (300, 500, 200), strict=True))
    labels = {name: rng.choices(["yes", "no"], k=size) for name, size in sizes.items()}
    pieces = ["Yes", "No", "no", "not", "NO", " ", " ", ".", ",", "\n", "dog", "n", "o"]
    answers = ["".join(rng.choices(pieces, k=rng.randint(0, 5))) for _ in range(1000)]
    scored = task(tmp_path, labels).score(answers)
    expected, start = {}, 0
    for name, size in sizes.items():
        expected[name] = oracles.pope(answers[start : start + size], labels[name])
        start += size
    for name, values in expected.items():
        for key, value in values.items():
            assert scored.summary[f"{name}/{key}"] == pytest.approx(value, abs=1e-9)
    for key in ("f1", "accuracy", "yes_ratio"):
        mean = sum(values[key] for values in expected.values()) / 3
        assert scored.summary[key] == pytest.approx(mean, abs=1e-9)
    assert sum(scored.contributions) / 1000 == pytest.approx(scored.summary["f1"], abs=1e-9)


def test_the_contributions_vary_as_f1_does(tmp_path) -> None:
    """Their standard error is that of F1 over samples of questions, to first order."""
    rng = random.Random(0)

    def drawn() -> tuple[list[str], list[str]]:
        truth = rng.choices(["yes", "no"], k=900)
        said = [label if rng.random() < 0.8 else "no" for label in truth]
        return truth, said

    f1s, errors = [], []
    for _ in range(100):
        truth, said = drawn()
        labels = {name: truth[300 * i : 300 * (i + 1)] for i, name in enumerate(CATEGORIES)}
        scored = task(tmp_path, labels).score(said)
        mean = scored.summary["f1"]
        variance = sum((part - mean) ** 2 for part in scored.contributions) / 900
        f1s.append(mean)
        errors.append((variance / 900) ** 0.5)
    center = sum(f1s) / len(f1s)
    measured = (sum((f1 - center) ** 2 for f1 in f1s) / (len(f1s) - 1)) ** 0.5
    assert sum(errors) / len(errors) == pytest.approx(measured, rel=0.25)
