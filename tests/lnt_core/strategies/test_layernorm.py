"""LayerNorm tuning: `target_modules` in several architectures."""

import pytest
import torch

from lnt_core.accounting.parameters import count_parameters
from lnt_core.errors import ConfigError
from lnt_core.models.roles import find_roles
from lnt_core.strategies import get_strategy
from tests.lnt_core.strategies.trained import options
from tests.parts import text_config


@pytest.mark.parametrize(
    ("kind", "ends", "count"),
    [
        ("llama", ["input_layernorm", "norm"], 2 * 32 + 32),
        ("llama", ["layers.0.post_attention_layernorm"], 32),
        ("opt", ["final_layer_norm"], 3 * 2 * 32),
        ("gpt2", ["ln_1", "ln_f"], 3 * 2 * 32),
        ("gpt2", [], 5 * 2 * 32),
    ],
)
def test_tunes_chosen_norms_of_a_language_model(kind, ends, count) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config

    config = (
        GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50)
        if kind == "gpt2"
        else text_config(kind)
    )
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    roles = find_roles(model)
    assert roles.vision is None
    tuned = get_strategy("layernorm_simple").apply(
        model, roles, options("layernorm_simple", target_modules=ends)
    )
    assert count_parameters(tuned).trainable == count
    ids = torch.tensor([[3, 4, 5, 6]])
    tuned(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in tuned.parameters() if p.requires_grad)


def test_refuses_what_is_no_norm(base) -> None:
    with pytest.raises(ConfigError) as refusal:
        get_strategy("layernorm").apply(
            base.trial_copy(),
            base.roles,
            options("layernorm", target_modules=["inputlayernorm"]),
        )
    assert str(refusal.value) == (
        "strategy.target_modules is 'inputlayernorm', but must be one of 'input_layernorm', "
        "'norm', 'post_attention_layernorm'; did you mean 'input_layernorm'?"
    )
