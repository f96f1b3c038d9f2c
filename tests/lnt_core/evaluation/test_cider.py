"""CIDEr against known values and the reference implementation."""

import os

import pytest

from lnt_core.evaluation.cider import CiderScorer, tokenize
from tests.lnt_core.evaluation.cider_formula import IMAGES, cider_d

REFERENCES = [["a red dog runs on grass"], ["two blue birds sit in trees"]]


@pytest.fixture(scope="module")
def scorer() -> CiderScorer:
    return CiderScorer(REFERENCES)


@pytest.mark.golden
def test_the_reference_itself_scores_1000(scorer) -> None:
    captions = [references[0] for references in REFERENCES]
    assert scorer.scores(captions) == pytest.approx([1000.0, 1000.0])


@pytest.mark.golden
def test_three_words_have_no_fourgram_and_score_750() -> None:
    references = [["red dog runs"], ["blue birds sit"]]
    assert CiderScorer(references).scores(["red dog runs", "blue birds sit"]) == pytest.approx(
        [750.0, 750.0]
    )


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        CiderScorer([["a dog"]])


def test_line_breaks_in_a_caption_do_not_shift_the_others(scorer) -> None:
    captions = ["a red dog\nruns\u2028on\rgrass", "two blue birds sit in trees"]
    assert scorer.scores(captions) == pytest.approx([1000.0, 1000.0])


def test_tokens_are_lower_case_without_punctuation() -> None:
    assert tokenize([["A Dog, (running) -- fast!"]]) == [["a dog -lrb- running -rrb- fast"]]


def test_java_is_put_on_the_path_for_the_tokenizer_alone(monkeypatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    before = os.environ["PATH"]
    tokenize([["a dog"]])
    assert os.environ["PATH"] == before


@pytest.mark.golden
def test_scores_are_pycocoevalcaps(scorer) -> None:
    from pycocoevalcap.cider.cider import Cider

    captions = ["a dog runs on the grass", "blue birds in trees"]
    mean, each = Cider().compute_score(
        dict(enumerate(tokenize(REFERENCES))),
        {i: [caption] for i, caption in enumerate(captions)},
    )
    scores = scorer.scores(captions)
    assert scores == pytest.approx([100 * score for score in each])
    assert sum(scores) / 2 == pytest.approx(100 * mean)


@pytest.mark.golden
def test_every_reference_counts_and_scores_come_in_the_order_of_the_captions() -> None:
    from pycocoevalcap.cider.cider import Cider

    animals = ["dog", "cat", "bird", "fish", "cow", "horse", "sheep", "duck", "goat", "pig", "fox"]
    told = ["a {} runs on the grass", "one {} in green grass", "the {} is outside"]
    references = [
        [text.format(animal) for text in told[: 1 + i % 3]] for i, animal in enumerate(animals)
    ]
    captions = [
        " ".join(f"the {animal} runs on green grass".split()[: 2 + i % 5])
        for i, animal in enumerate(animals)
    ]
    _, each = Cider().compute_score(  # of texts that are tokens already
        dict(enumerate(references)), {i: [caption] for i, caption in enumerate(captions)}
    )
    assert CiderScorer(references).scores(captions) == pytest.approx([100 * s for s in each])


@pytest.mark.golden
def test_real_captions_score_what_the_published_formula_gives() -> None:
    references = [list(image[1:]) for image in IMAGES]
    captions = [image[0] for image in IMAGES]
    captions[3] = "Someone with a purple parachute has jumped off a cliff ."
    expected = [
        cider_d(caption, own, references) for caption, own in zip(captions, references, strict=True)
    ]
    assert CiderScorer(references).scores(captions) == pytest.approx(expected, rel=0, abs=1e-9)
    assert expected[3] < min(expected[:3] + expected[4:])
