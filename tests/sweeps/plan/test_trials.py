"""The trials of a sweep file."""

from dataclasses import replace

from lnt_core.config import TrialConfig
from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep
from sweeps.plan.trials import trials
from sweeps.search_space import PAPER_RATES


def sweep(**search) -> SweepConfig:
    return SweepConfig.model_validate(
        {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]} | search}
    )


def configs(given: SweepConfig) -> list[TrialConfig]:
    return [trial.config for trial in trials(given)]


def test_the_demo_is_the_papers_66_trials() -> None:
    found = trials(load_sweep("demo"))
    assert len(found) == 66
    assert {t.config.learning_rate for t in found} == set(PAPER_RATES)


def test_a_number_of_workers_is_for_all_and_a_mapping_for_those_it_names() -> None:
    both = sweep(strategy=["full", "layernorm"], learning_rate=[1e-3]).model_dump()
    both |= {"train": {"deepspeed": "zero2"}}
    for workers, expected in (
        (2, {"full": (2, "zero2"), "layernorm": (2, "zero2")}),
        ({"full": 4}, {"full": (4, "zero2"), "layernorm": (1, None)}),
    ):
        given = SweepConfig.model_validate(both | {"resources": {"workers_per_trial": workers}})
        found = {
            t.strategy.name: (given.resources.workers_of(t.strategy.name), t.train.deepspeed)
            for t in configs(given)
        }
        assert found == expected
        assert given.resources.most_workers == max(number for number, _ in expected.values())


def test_other_values_reach_stage_2_alone() -> None:
    given = sweep(learning_rate=[1e-3, 1e-4], values={"train.weight_decay": [0.0, 0.1]})
    found = configs(given)
    assert [config.train.weight_decay for config in found] == [0.0, 0.0, 0.1, 0.1]
    assert {config.align for config in found} == {configs(sweep(learning_rate=[1e-3]))[0].align}


def test_random_draws_take_other_values_too() -> None:
    given = sweep(
        strategy=["full"],
        learning_rate=[1e-3],
        values={"train.weight_decay": [0.0, 0.1, 0.2]},
        algorithm="random",
        num_trials=3,
    )
    assert {config.train.weight_decay for config in configs(given)} == {0.0, 0.1, 0.2}


def test_random_draws_differ_stay_in_range_and_repeat_by_seed() -> None:
    given = sweep(
        strategy=["full", "lora"],
        learning_rate={"low": 1e-6, "high": 1e-2},
        algorithm="random",
        num_trials=20,
    )
    found = configs(given)
    assert found == configs(given)
    assert len(set(found)) == 20
    assert all(1e-6 <= config.learning_rate <= 1e-2 for config in found)
    assert configs(given.model_copy(update={"seed": 1})) != found


def test_tpe_plans_no_trial_before_it_draws() -> None:
    rates = {"low": 1e-6, "high": 1e-2}
    assert trials(sweep(learning_rate=rates, algorithm="tpe", num_trials=3)) == []


def test_a_repeat_has_its_seed_in_its_name_and_another_id() -> None:
    trial = trials(sweep(strategy=[{"name": "lora", "rank": 8}], learning_rate=[3e-4]))[0]
    repeat = replace(trial, config=trial.config.model_copy(update={"train_seed": 1}))
    assert (trial.name, repeat.name) == ("lora rank=8 lr=3e-4", "lora rank=8 lr=3e-4 seed=1")
    assert repeat.id != trial.id
