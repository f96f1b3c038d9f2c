"""Saving weights that PEFT loads."""

import pytest

from lnt_core.models.build import load_base
from lnt_core.strategies import get_strategy
from lnt_core.strategies.weights import save_weights
from tests.lnt_core.strategies.trained import options
from tests.parts import model_config, save_parts, text_config


@pytest.mark.parametrize("name", ["lora", "adalora"])
def test_twenty_targets_and_more_are_saved_whole(name, tmp_path) -> None:
    """PEFT shortens so many to ends of names; those would hit the tower of the whole model."""
    from peft import PeftModel

    parts = save_parts(tmp_path / "parts", text_config(num_hidden_layers=3))
    base = load_base(model_config(parts), cache=tmp_path)
    chosen = options(name)
    tuned = get_strategy(name).apply(base.trial_copy(), base.roles, chosen)
    save_weights(tuned, tmp_path / "saved", strategy=chosen, base_name="base")
    loaded = PeftModel.from_pretrained(base.model, str(tmp_path / "saved"))
    hit = {n.partition(".lora_A")[0] for n, _ in loaded.named_parameters() if ".lora_A" in n}
    assert hit == {f"base_model.model.{target}" for target in base.roles.linear}
