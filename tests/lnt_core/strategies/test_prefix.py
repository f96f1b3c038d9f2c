"""Prefix tuning: its reparameterisation."""

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from lnt_core.strategies.weights import save_weights
from tests.lnt_core.strategies.trained import options, trained


def test_the_prefixs_mlp_is_dropped_when_saved(base, scenes, tmp_path) -> None:
    chosen = options("prefix", num_tokens=5, hidden_size=16)
    save_weights(trained(base, scenes, chosen), tmp_path, strategy=chosen, base_name="base")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    layers, hidden = 2, 32
    assert {n: tuple(t.shape) for n, t in tensors.items()} == {
        "prompt_embeddings": (5, layers * 2 * hidden)
    }


def test_the_size_of_an_mlp_that_is_left_out_is_refused() -> None:
    with pytest.raises(ValidationError, match="which `reparameterise: false` leaves out"):
        options("prefix", reparameterise=False, hidden_size=8)
