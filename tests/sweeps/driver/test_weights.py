"""Which weights stay on disk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.config import SweepConfig
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.space import trials
from sweeps.results.selection import Trial, winners
from sweeps.storage.execution import Execution, Result

SWEEP = SweepConfig.model_validate(
    {
        "name": "s",
        "model": {"tiny": True},
        "search": {"strategy": ["full", "layernorm"], "learning_rate": [1e-2, 1e-3, 1e-4]},
    }
)
NAMED = list(zip("abcdef", trials(SWEEP), strict=True))


def finished(score: float) -> Result:
    return Result("finished", 1, {"select/cider": score, "params/trainable": 5.0})


def keep(execution: Execution, results: list[Result], order=range(6)) -> set[str]:
    """Tell of the trials in that order; which of them have weights in the end."""
    keeper = WinnerWeights(execution)
    for index in order:
        name, config = NAMED[index]
        if results[index].status == "finished":
            (execution.trial(name) / "weights").mkdir(parents=True)
        keeper.keep_best(name, config, results[index])
    return {name for name, _ in NAMED if (execution.trial(name) / "weights").is_dir()}


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=6, max_size=6), st.permutations(range(6))
)
def test_in_any_order_the_winners_weights_stay_and_no_others(
    tmp_path_factory, scores, order
) -> None:
    execution = Execution(tmp_path_factory.mktemp("execution"))
    results = [finished(score) for score in scores]
    found = winners(
        Trial("r", n, c.strategy.name, c.learning_rate, "finished", score, None, 5, 0.5)
        for (n, c), score in zip(NAMED, scores, strict=True)
    )
    assert keep(execution, results, order) == {winner.trial.trial_id for winner in found}


@given(st.permutations(range(3)), st.permutations(range(3)))
def test_of_equal_trials_at_one_rate_it_is_always_the_same_one(
    tmp_path_factory, ended, read
) -> None:
    """They differ in another value; those who ask MLflow are given them in its order."""
    values = {"train.weight_decay": (0.0, 0.1, 0.2)}
    search = {"strategy": ["full"], "learning_rate": [1e-3], "values": values}
    sweep = SweepConfig.model_validate({"name": "s", "model": {"tiny": True}, "search": search})
    named = list(zip("abc", trials(sweep), strict=True))
    execution = Execution(tmp_path_factory.mktemp("execution"))
    keeper = WinnerWeights(execution)
    for name, config in (named[i] for i in ended):
        (execution.trial(name) / "weights").mkdir(parents=True)
        keeper.keep_best(name, config, finished(1.0))
    (winner,) = winners(
        Trial("r", n, "full", c.learning_rate, "finished", 1.0, None, 5, 0.5, options=n)
        for n, c in (named[i] for i in read)
    )
    assert (execution.trial(winner.trial.trial_id) / "weights").is_dir()


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped"])
def test_a_trial_without_a_score_never_costs_another_its_weights(status, tmp_path) -> None:
    results = [Result(status)] * 2 + [finished(0.0), finished(1.0)] + [Result(status)] * 2
    assert keep(Execution(tmp_path), results) == {"c", "d"}


def test_a_trial_told_of_twice_keeps_its_weights(tmp_path) -> None:
    keeper, execution = WinnerWeights(Execution(tmp_path)), Execution(tmp_path)
    (execution.trial("a") / "weights").mkdir(parents=True)
    for _ in range(2):
        keeper.keep_best("a", NAMED[0][1], finished(1.0))
    assert (execution.trial("a") / "weights").is_dir()
