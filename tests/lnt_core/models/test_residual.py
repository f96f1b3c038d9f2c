"""In bf16 every strategy computes its residual stream, keys and values in bfloat16."""

import functools

import pytest
import torch

from lnt_core.models.build import load_base
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.strategies.tuned import tuned_copy
from tests.parts import model_config, save_parts, text_config


@pytest.fixture(scope="module")
def in_bf16(tmp_path_factory):
    """The base of a kind of language model; OPT's positions are embeddings as well."""

    @functools.cache
    def load(kind: str):
        folder = tmp_path_factory.mktemp(kind)
        parts = save_parts(folder, text_config(kind))
        return load_base(model_config(parts), cache=folder, precision="bf16")

    return load


@pytest.mark.parametrize(
    ("kind", "name"), [*(("llama", name) for name in STRATEGIES), ("opt", "full"), ("opt", "lora")]
)
def test_every_block_is_given_bfloat16(kind, name, in_bf16) -> None:
    bf16_base = in_bf16(kind)
    strategy = get_strategy(name)
    model = tuned_copy(bf16_base, strategy, strategy.Config())
    seen = set()

    def see(_, args, kwargs) -> None:
        seen.add((args[0] if args else kwargs["hidden_states"]).dtype)

    blocks = {type(bf16_base.model.get_submodule(block)) for block in bf16_base.roles.blocks}
    for module in model.modules():
        if type(module) in blocks:
            module.register_forward_pre_hook(see, with_kwargs=True)
    tokenizer = bf16_base.conversations.tokenizer
    ids = torch.tensor([[tokenizer.bos_token_id, 5, 6, 7]])
    mask = torch.ones_like(ids)
    with torch.autocast("cpu", torch.bfloat16):
        made = model(input_ids=ids, attention_mask=mask, use_cache=True)
    assert seen == {torch.bfloat16}
    layers = made.past_key_values.layers
    assert {part.dtype for layer in layers for part in (layer.keys, layer.values)} == {
        torch.bfloat16
    }
