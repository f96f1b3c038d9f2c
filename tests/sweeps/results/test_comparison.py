"""Which trials the images cannot tell from the winner."""

from dataclasses import replace

import numpy as np
import pytest

from lnt_core.metrics import OBJECTIVES
from sweeps.results.captions import Caption
from sweeps.results.comparison import compare_winners
from sweeps.results.selection import Sweep
from tests.sweeps.results.trials import trial

IMAGES = [f"{i}.jpg" for i in range(100)]
RNG = np.random.default_rng(0)
HARDNESS = RNG.normal(0, 30, len(IMAGES))


def scores(mean: float, *, noise: float = 5.0) -> dict[str, float]:
    return dict(zip(IMAGES, mean + HARDNESS + RNG.normal(0, noise, len(IMAGES)), strict=True))


BEST, CLOSE, WORSE, WORST = (
    trial("full", rate, score)
    for rate, score in ((1e-2, 90.0), (1e-3, 89.9), (1e-4, 60.0), (1e-5, 59.9))
)
EQUAL, BEHIND = trial("lora", 1e-3, 89.8), trial("layernorm", 1e-3, 50.0)
SCORES = {
    "full-0.01": scores(90.0),
    "full-0.001": scores(90.0),
    "full-0.0001": scores(60.0),
    "lora-0.001": scores(90.0),
    "layernorm-0.001": scores(50.0),
}


@pytest.fixture
def sweep() -> Sweep:
    trials = (BEST, CLOSE, WORSE, WORST, EQUAL, BEHIND)
    return Sweep("s", "r", "FINISHED", 1.0, "select/cider on x val", trials)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def compared(sweep, asked):
    def captions_of(one):
        asked.append(one.run_id)
        known = SCORES.get(one.run_id)
        return known and {image: Caption("a dog", score) for image, score in known.items()}

    return compare_winners(sweep, captions_of)


def test_rates_that_are_as_good_are_tied_until_one_is_told_apart(compared, asked) -> None:
    assert compared["full"].tied == (CLOSE,)
    assert WORST.run_id not in asked  # nothing beyond the first that is worse is fetched


def test_strategies_are_compared_with_the_best_of_all(compared) -> None:
    assert compared["full"].behind_best is None
    assert compared["lora"].behind_best.tied
    assert not compared["layernorm"].behind_best.tied
    assert compared["layernorm"].behind_best.mean == pytest.approx(40, abs=3)


def test_a_repeat_is_no_other_trial_to_be_tied_with(sweep) -> None:
    repeat = replace(CLOSE, trial_id="r", seed=1, is_repeat=True)
    captions = {image: Caption("a dog", score) for image, score in SCORES["full-0.001"].items()}
    compared = compare_winners(replace(sweep, trials=(BEST, repeat)), lambda _: captions)
    assert compared["full"].tied == ()


def test_without_captions_nothing_is_claimed(sweep) -> None:
    assert compare_winners(sweep, lambda _: None) == {}


def test_a_lower_loss_leads(sweep) -> None:
    loss = OBJECTIVES["select/loss"]
    trials = tuple(replace(one, objective=loss) for one in (BEST, WORSE, EQUAL, BEHIND))
    lower = replace(sweep, metric="select/loss on x", trials=trials)

    def answers_of(one):
        known = SCORES.get(one.run_id)
        return known and {question: Caption("", score) for question, score in known.items()}

    compared = compare_winners(lower, answers_of)
    assert lower.winners[0].trial.strategy == "layernorm"
    assert compared["layernorm"].behind_best is None
    assert compared["full"].behind_best.mean == pytest.approx(
        np.mean([*SCORES["full-0.0001"].values()]) - np.mean([*SCORES["layernorm-0.001"].values()])
    )
    assert compared["full"].behind_best.low > 0
