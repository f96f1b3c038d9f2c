"""Which trials a sweep gains: rates beyond an edge, further seeds."""

import random
from dataclasses import replace

import pytest
from pydantic import ValidationError

from lnt_core.config import StartedFrom
from lnt_core.files import checksums
from sweeps.driver.growth import Growth, beyond_edges, next_rate
from sweeps.plan.trials import SweepTrial
from sweeps.results.selection import Trial, winners
from sweeps.search_space import MAX_EXTENSIONS, SearchConfig
from sweeps.storage.trials import add_trial, all_trials, read_trial
from tests.damage import flip
from tests.sweeps.driver.executions import at_rate, context_of, finish

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
        ((0.5, 0.25), "highest", None),  # 1.0 is the limit itself
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


def test_a_repeat_with_another_seed_does_not_move_the_edge() -> None:
    repeat = replace(trial(1e-3, 9), seed=1, is_repeat=True)
    assert found([*grid(3, 2, 1), repeat]) == [("full", 4e-3)]


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


class Announced:
    """Remembers how many trials were announced."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, count: int, *, again: bool = False) -> None:
        self.calls.append((count, again))


def growing(context, num_seeds=1) -> tuple[Growth, Announced]:
    announced = Announced()
    return Growth(context, num_seeds=num_seeds, announce=announced), announced


def test_a_sweep_without_an_edge_or_seeds_gains_nothing(tmp_path) -> None:
    context = context_of(tmp_path)
    for rate, score in ((1e-3, 2.0), (1e-4, 1.0)):
        finish(context, at_rate(context, rate), score)
    growth, announced = growing(context)
    assert growth() == []
    assert announced.calls == []


def test_a_winner_at_an_edge_is_followed_rate_by_rate_until_it_is_inside(tmp_path) -> None:
    context = context_of(tmp_path, extend_at_edge=True)
    finish(context, at_rate(context, 1e-4), 1.0)
    finish(context, at_rate(context, 1e-3), 2.0)
    growth, announced = growing(context)
    (first,) = growth()
    assert first == at_rate(context, 1e-2).id
    assert read_trial(context.execution, first).added_by == "edge"
    finish(context, at_rate(context, 1e-2), 3.0)
    (second,) = growth()
    assert second == at_rate(context, 1e-1).id
    finish(context, at_rate(context, 1e-1), 0.5)
    assert growth() == []
    assert announced.calls == [(1, False), (1, False)]


def test_a_resumed_driver_does_not_add_what_an_earlier_one_added(tmp_path) -> None:
    context = context_of(tmp_path, extend_at_edge=True)
    finish(context, at_rate(context, 1e-4), 1.0)
    finish(context, at_rate(context, 1e-3), 2.0)
    growing(context)[0]()
    growth, _ = growing(context)
    assert growth() == []
    assert len(all_trials(context.execution)) == 3


def test_the_two_best_points_of_each_strategy_get_the_further_seeds(tmp_path) -> None:
    rates = [1e-2, 1e-3, 1e-4]
    context = context_of(tmp_path, strategy=["layernorm", "full"], learning_rate=rates, seed=5)
    for number, trial in enumerate(list(all_trials(context.execution).values())):
        finish(context, trial, float(number))  # the last two rates of each score best
    added = [read_trial(context.execution, name) for name in growing(context, 3)[0]()]
    assert {trial.added_by for trial in added} == {"seed"}
    assert sorted(
        (t.config.strategy.name, t.config.learning_rate, t.config.train_seed) for t in added
    ) == [
        (name, rate, seed)
        for name in ("full", "layernorm")
        for rate in (1e-4, 1e-3)
        for seed in (6, 7)
    ]


def test_a_clone_that_started_from_a_checkpoint_gets_no_further_seeds(tmp_path) -> None:
    context = context_of(tmp_path)
    planned = list(all_trials(context.execution).values())
    for ended in planned:
        finish(context, ended, 1.0)
    started = {"started_from": StartedFrom(trial=planned[0].id, step=4), "learning_rate": 5e-4}
    clone = SweepTrial(planned[0].config.model_copy(update=started), added_by="clone")
    add_trial(context.execution, clone)
    finish(context, clone, 9.0)
    added = [read_trial(context.execution, name) for name in growing(context, 2)[0]()]
    assert sorted(t.config.learning_rate for t in added) == [1e-4, 1e-3]


def test_a_point_that_wins_after_its_weights_are_gone_is_trained_once_more(tmp_path) -> None:
    context = context_of(tmp_path)
    lucky, steady = at_rate(context, 1e-3), at_rate(context, 1e-4)
    finish(context, lucky, 9.0)
    finish(context, steady, 8.0, weights=False)
    growth, announced = growing(context, 2)
    for name in growth():
        repeat = read_trial(context.execution, name)
        finish(context, repeat, 1.0 if repeat.config.learning_rate == 1e-3 else 8.0)
    assert growth() == [steady.id]
    assert growth() == []  # once, whatever comes of it
    assert announced.calls == [(2, False), (1, True)]


def test_a_winner_whose_weights_are_damaged_is_trained_once_more(tmp_path) -> None:
    context = context_of(tmp_path)
    winner = at_rate(context, 1e-3)
    finish(context, at_rate(context, 1e-4), 1.0)
    result = finish(context, winner, 9.0)
    folder = context.execution.trial(winner.id)
    (folder / "weights" / "delta.safetensors").write_bytes(b"tensors")
    whole = replace(result, files=checksums(folder, folder.glob("weights/*")))
    context.execution.write_result(winner.id, whole)
    growth, _ = growing(context, 1)
    assert growth() == []
    flip(folder / "weights" / "delta.safetensors", random.Random(0))
    assert growth() == [winner.id]
    assert not (folder / "weights").exists()
