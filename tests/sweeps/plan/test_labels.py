"""Names of trials."""

from sweeps.config import SweepConfig
from sweeps.plan.labels import label
from sweeps.plan.space import points


def test_a_trials_name_has_only_options_that_apply_and_differ() -> None:
    chosen = ["prefix", {"name": "prefix", "reparameterise": False}]
    search = {
        "strategy": chosen,
        "learning_rate": [1e-3],
        "values": {"train.gradient_checkpointing": [False]},
    }
    given = SweepConfig.model_validate({"name": "s", "model": {"tiny": True}, "search": search})
    assert [label(*point) for point in points(given)] == [
        "prefix train.gradient_checkpointing=False lr=1e-3",
        "prefix reparameterise=False train.gradient_checkpointing=False lr=1e-3",
    ]
