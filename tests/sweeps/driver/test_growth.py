"""Which rates lie beyond a grid whose best is at its end."""

import pytest
from pydantic import ValidationError

from sweeps.config import MAX_EXTENSIONS, SearchConfig
from sweeps.driver.growth import beyond_edges, next_rate
from sweeps.results.selection import Trial, winners

GRID = (2e-3, 1e-3, 1e-4)


def trial(rate, score=1.0, *, status="finished", options="", strategy="full") -> Trial:
    return Trial(
        run_id="",
        trial_id=f"{strategy}-{options}-{rate}",
        strategy=strategy,
        learning_rate=rate,
        status=status,
        score=score if status == "finished" else None,
        report_score=None,
        trainable_parameters=1,
        trainable_share=0.1,
        options=options,
    )


def grid(*scores, **kwargs) -> list[Trial]:
    return [trial(rate, score, **kwargs) for rate, score in zip(GRID, scores, strict=True)]


def found(trials) -> list[tuple[str, float]]:
    return [(winner.variant, rate) for winner, rate in beyond_edges(trials, GRID)]


@pytest.mark.parametrize(
    ("rates", "edge", "rate"),
    [
        (GRID, "highest", 4e-3),
        (GRID, "lowest", 1e-5),
        ((0.5, 0.2), "highest", None),
        ((1e-3,), "highest", None),
        ((1e-3, 1e-3), "lowest", None),
    ],
)
def test_the_next_rate_keeps_the_spacing_at_that_end(rates, edge, rate) -> None:
    assert next_rate(rates, edge=edge) == rate


def test_only_winners_at_an_end_are_followed() -> None:
    trials = [*grid(3, 2, 1), *grid(1, 2, 3, strategy="lora"), *grid(1, 3, 2, strategy="prompt")]
    assert found(trials) == [("full", 4e-3), ("lora", 1e-5)]


def test_each_combination_of_options_has_an_end_of_its_own() -> None:
    trials = [*grid(3, 2, 1, options="rank=8"), *grid(1, 9, 2, options="rank=4")]
    assert found(trials) == [("full rank=8", 4e-3)]


def test_it_goes_on_until_the_winner_is_inside() -> None:
    trials = [*grid(3, 2, 1), trial(4e-3, 5)]
    assert found(trials) == [("full", 8e-3)]
    assert found([*trials, trial(8e-3, 4)]) == []


@pytest.mark.parametrize("status", ["diverged", "failed", "stopped"])
def test_a_rate_without_a_score_settles_the_edge(status) -> None:
    trials = [*grid(3, 2, 1), trial(4e-3, status=status)]
    assert found(trials) == []
    assert winners(trials)[0].at_edge == ""


def test_a_rate_that_the_budget_left_out_settles_nothing() -> None:
    trials = [*grid(3, 2, 1), trial(4e-3, status="left_out")]
    assert winners(trials)[0].at_edge == "highest"


def test_it_ends_at_the_limit() -> None:
    trials, rate = grid(3, 2, 1), 2e-3
    for number in range(MAX_EXTENSIONS):
        rate *= 2
        assert found(trials) == [("full", rate)]
        trials.append(trial(rate, 10 + number))
    assert found(trials) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"algorithm": "tpe", "num_trials": 3, "learning_rate": {"low": 1e-5, "high": 1e-3}},
            "`extend_at_edge` is for a grid: `algorithm: tpe` draws its rates from a range",
        ),
        ({"learning_rate": [1e-3]}, "`extend_at_edge` continues the spacing of `learning_rate`"),
    ],
)
def test_it_is_refused_where_it_means_nothing(values, told) -> None:
    with pytest.raises(ValidationError, match=told):
        SearchConfig.model_validate({"strategy": ["full"], "extend_at_edge": True} | values)
