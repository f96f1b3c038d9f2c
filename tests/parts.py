"""The parts of the micro model: a random two-layer language model and a random CLIP tower."""

from pathlib import Path

import torch

from lnt_core.config import ModelConfig
from lnt_core.models.tiny import _train_tokenizer

SENTENCES = [
    "A large red circle is beside a small blue star on sand.",
    "There is a small green square over a large yellow cross.",
    "Provide a one-sentence caption for the provided image.",
] * 20
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
LANGUAGE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
}
TRAIN = {"max_steps": 4, "batch_size": 4, "micro_batch_size": 2, "gradient_checkpointing": False}


def save_parts(folder: Path, text_config) -> tuple[str, str]:
    """Save a random language model of that config, and a random CLIP tower."""
    from transformers import AutoModelForCausalLM, CLIPVisionConfig, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    language, vision = folder / "language", folder / "vision"
    AutoModelForCausalLM.from_config(text_config).save_pretrained(language)
    _train_tokenizer(SENTENCES).save_pretrained(language)
    CLIPVisionModel(CLIPVisionConfig(**VISION)).save_pretrained(vision)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(vision)
    return str(language), str(vision)


def text_config(kind: str = "llama", **changes):
    """A two-layer language model's config; its vocabulary holds the test tokenizer's."""
    from transformers import AutoConfig

    rows = len(_train_tokenizer(SENTENCES)) + 2
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    own = {
        "llama": {"intermediate_size": 64},
        "mistral": {"intermediate_size": 64, "num_key_value_heads": 1},
        "qwen2": {"intermediate_size": 64, "num_key_value_heads": 1},
        "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    }[kind]
    shape = LANGUAGE | own | special | {"vocab_size": rows} | changes
    return AutoConfig.for_model(kind, **shape)


def model_config(parts: tuple[str, str]) -> ModelConfig:
    return ModelConfig(language_model=parts[0], vision_tower=parts[1], conversation="plain")
