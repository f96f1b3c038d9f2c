"""Trainable parameters by role."""

from lnt_core.accounting.parameters import count_by_role, count_parameters
from lnt_core.strategies import get_strategy


def test_parameters_by_role_add_up(base) -> None:
    for name, expected in {
        "full": {"connector", "embedding", "attn_q", "attn", "attn_v", "mlp", "norm", "head"},
        "layernorm": {"connector", "embedding", "norm", "head"},
        "lora": {"connector", "embedding", "added", "head"},
        "adapter_parallel": {"added"},
        "prefix": {"added"},
        "adalora": {"added"},
    }.items():
        strategy = get_strategy(name)
        tuned = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
        counts = count_by_role(tuned, base.roles)
        assert set(counts) == expected
        assert sum(counts.values()) == count_parameters(tuned).trainable
