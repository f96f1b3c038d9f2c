"""The untuned base, and which stage 1 a sweep trains."""

import pytest
from pydantic import ValidationError

from sweeps.config import SweepConfig
from sweeps.plan.base import base_config, stages_1, sure_stages_1

SWEEP = {
    "name": "s",
    "model": {"tiny": True},
    "search": {"strategy": ["full", "layernorm"], "learning_rate": [1e-3, 1e-4]},
}
FORMATS = {"train.precision": ["fp32", "bf16"], "train.weight_decay": [0.0, 0.1]}


def sweep(*, search: dict | None = None, **changes) -> SweepConfig:
    own = SWEEP["search"] | (search or {})
    return SweepConfig.model_validate(SWEEP | changes | {"search": own})


def values(made: SweepConfig) -> list:
    return [stage.values for stage in stages_1(made).values()]


def test_there_is_one_for_all_trials_that_do_not_vary_it() -> None:
    made = sweep(search={"values": {"train.weight_decay": [0.1, 0.2]}})
    assert values(made) == [()]
    assert base_config(made)[0].train.weight_decay == 0.0  # its own, which stage 1 lacks


def test_those_that_do_have_one_each_and_that_of_the_base_is_the_first() -> None:
    made = sweep(search={"values": FORMATS}, train={"precision": "bf16"})
    assert values(made) == [(("train.precision", "bf16"),), (("train.precision", "fp32"),)]
    assert base_config(made)[0].train.precision == "bf16"


def test_the_base_has_none_that_no_trial_uses() -> None:
    made = sweep(search={"values": {"train.precision": ["bf16"]}})  # and the sweep's own is fp32
    ((name, stage),) = stages_1(made).items()
    assert stage.values == ()
    assert stage.config == base_config(made)[0]
    assert stage.config.train.precision == stage.config.align.precision == "bf16"
    assert [name] == list(stages_1(sweep(train={"precision": "bf16"})))


def test_nor_has_a_random_search_one_for_what_it_has_not_drawn() -> None:
    drawn = {"algorithm": "random", "num_trials": 1, "values": FORMATS}
    assert len(stages_1(sweep(search=drawn))) == 1
    assert len(stages_1(sweep(search=drawn | {"num_trials": 16}))) == 2


def test_of_what_tpe_may_draw_only_that_of_the_base_is_sure_to_be_needed() -> None:
    assert len(sure_stages_1(sweep(search={"values": FORMATS}))) == 2
    span = {"algorithm": "tpe", "num_trials": 4, "learning_rate": {"low": 1e-5, "high": 1e-3}}
    made = sweep(search=span | {"values": FORMATS})
    (only,) = sure_stages_1(made)
    assert (len(stages_1(made)), only.config) == (2, base_config(made)[0])


def test_a_group_trains_it_if_there_are_several_workers_or_the_base_is_sharded() -> None:
    given = {"train": {"deepspeed": "zero3"}, "resources": {"workers_per_trial": 1}}
    for made, is_group in (
        (sweep(), False),
        (sweep(align={"workers": 2}), True),
        (sweep(**given), True),
    ):
        (stage,) = stages_1(made).values()
        assert stage.is_group == is_group


def test_the_number_of_workers_is_that_of_the_largest_trial_and_changes_no_id() -> None:
    whole = {"train": {"deepspeed": "zero2"}, "resources": {"workers_per_trial": {"full": 8}}}
    found = [
        stages_1(made)
        for made in (sweep(), sweep(**whole), sweep(align={"workers": 4, "learning_rate": 2e-3}))
    ]
    assert [stage.num_workers for stages in found for stage in stages.values()] == [1, 8, 4]
    assert len({name for stages in found for name in stages}) == 1


def test_more_workers_than_samples_or_several_on_a_part_of_a_gpu_are_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"`workers` \(9\) must be at most `batch_size` \(8\)"
    ):
        sweep(align={"workers": 9, "batch_size": 8, "micro_batch_size": 8})
    with pytest.raises(ValidationError, match="several workers of stage 1 use one GPU each"):
        sweep(align={"workers": 2}, resources={"gpus_per_trial": 0.5})
