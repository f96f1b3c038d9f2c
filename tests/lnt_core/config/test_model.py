"""The kinds of model, and the default conversation style of each."""

import pytest
from pydantic import ValidationError

from lnt_core.config import ModelConfig


@pytest.mark.parametrize(
    ("values", "style"),
    [
        ({"tiny": True}, "plain"),
        ({"checkpoint": "x"}, "chat_template"),
        ({"language_model": "x", "vision_tower": "y"}, "vicuna_v1"),
        ({"tiny": True, "conversation": "vicuna_v1"}, "vicuna_v1"),
    ],
)
def test_the_conversation_style_follows_the_kind_of_model(values, style) -> None:
    assert ModelConfig.model_validate(values).conversation == style


@pytest.mark.parametrize("values", [{}, {"tiny": True, "checkpoint": "x"}])
def test_a_model_is_of_exactly_one_kind(values) -> None:
    with pytest.raises(ValidationError, match="give exactly one of"):
        ModelConfig.model_validate(values)


@pytest.mark.parametrize("key", [{"connector": "mlp2"}, {"vision_feature_layer": -1}])
def test_what_a_checkpoint_has_itself_is_refused_beside_it(key) -> None:
    (name,) = key
    with pytest.raises(ValidationError, match=f"a checkpoint has its own `{name}`"):
        ModelConfig.model_validate({"checkpoint": "x"} | key)
    ModelConfig.model_validate({"language_model": "x", "vision_tower": "y"} | key)
