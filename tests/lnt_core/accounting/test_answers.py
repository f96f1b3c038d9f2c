"""Texts that have what a checkpoint writes for an image."""

from lnt_core.accounting.answers import with_own_image_token
from lnt_core.config import ModelConfig
from lnt_core.data.samples import Sample
from tests.parts import model_config
from tests.vlm_checkpoints import save


def test_a_checkpoints_own_image_token_is_found_in_texts(parts, tmp_path) -> None:
    config = ModelConfig(checkpoint=save("qwen2_5_vl", tmp_path), conversation="chat_template")
    said = ("A dog.", "A <|vision_start|><|image_pad|><|vision_end|>.", "A <|image_pad|>.")
    samples = [Sample((), (("Q?", a),), f"line {n}") for n, a in enumerate(said, start=1)]
    found = with_own_image_token(config, samples)
    assert found == ("<|image_pad|>", ["line 2", "line 3"])
    assert with_own_image_token(model_config(parts), samples) == ("<image>", [])
