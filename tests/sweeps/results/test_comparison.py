"""Which trials the images cannot tell from the winner, and how it is told."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from sweeps.cli.best import as_json, print_winners
from sweeps.results.captions import CAPTIONS, Caption, read_captions
from sweeps.results.comparison import compare_winners
from sweeps.results.selection import Sweep
from tests.sweeps.test_selection import trial

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


def test_without_captions_nothing_is_claimed(sweep) -> None:
    assert compare_winners(sweep, lambda _: None) == {}
    (first, *_) = as_json(sweep)["winners"]
    assert (first["tied_run_ids"], first["behind_best_ci95"]) == (None, None)


def test_ties_are_printed_and_in_the_json(sweep, compared) -> None:
    text = io.StringIO()
    print_winners(Console(file=text, width=100), sweep, compared)
    flat = " ".join(text.getvalue().split())
    assert "Tied with full, which leads by" in flat
    assert "images): lora (" in flat
    assert "Tied with the best of their strategy: full 1e-3." in flat
    told = {w["strategy"]: w for w in json.loads(json.dumps(as_json(sweep, compared)))["winners"]}
    assert told["full"]["tied_run_ids"] == [CLOSE.run_id]
    low, high = told["layernorm"]["behind_best_ci95"]
    assert 0 < low < high


def test_scores_are_read_from_a_trials_captions(tmp_path) -> None:
    rows = [{"image": "a.jpg", "caption": "a cat", "cider": 1.5}]
    (tmp_path / CAPTIONS).write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert read_captions(tmp_path / CAPTIONS) == {"a.jpg": Caption("a cat", 1.5)}
