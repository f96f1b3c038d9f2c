"""Vision towers as they are published, with tiny random weights, made on the spot.

What is real: kinds of tower, patches and resolutions of ``config.json``, and all values of
``preprocessor_config.json`` on the Hugging Face Hub (openai/clip-vit-large-patch14-336,
google/siglip-so400m-patch14-384, google/siglip2-base-patch16-224, facebook/dinov2-base,
facebook/dinov2-with-registers-base, google/siglip2-base-patch16-naflex).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}
SIGLIP = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "rescale_factor": 1 / 255,
    "processor_class": "SiglipProcessor",
    "image_processor_type": "SiglipImageProcessor",
}
DINO = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 256},
}


@dataclass(frozen=True)
class Tower:
    """How one tower is published."""

    kind: str
    """transformers' ``model_type``."""
    config: dict[str, Any]
    """Patches and resolution."""
    processor: dict[str, Any]
    """The content of ``preprocessor_config.json``."""
    num_patches: int
    """Tokens of one image that a language model gets."""
    num_first: int
    """Tokens before them: class and registers."""
    sizes: dict[str, int] = field(default_factory=lambda: SIZES)
    within: str = ""
    """``model_type`` of the whole model that the tower is published in; empty: it is alone."""


TOWERS = {
    "clip_l_336": Tower(
        "clip_vision_model",
        {"image_size": 336, "patch_size": 14},
        {
            "crop_size": 336,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "size": 336,
        },
        num_patches=24**2,
        num_first=1,
        within="clip",
    ),
    "siglip_so400m_384": Tower(
        "siglip_vision_model",
        {"image_size": 384, "patch_size": 14},
        SIGLIP | {"resample": 3, "size": {"height": 384, "width": 384}},
        num_patches=27**2,
        num_first=0,
        within="siglip",
    ),
    "siglip2_b_224": Tower(
        "siglip_vision_model",
        {"image_size": 224, "patch_size": 16},
        SIGLIP | {"resample": 2, "size": {"height": 224, "width": 224}},
        num_patches=14**2,
        num_first=0,
        within="siglip",
    ),
    "dinov2": Tower(
        "dinov2",
        {"image_size": 518, "patch_size": 14},
        DINO,
        num_patches=16**2,
        num_first=1,
    ),
    "dinov2_registers": Tower(
        "dinov2_with_registers",
        {"image_size": 518, "patch_size": 14, "num_register_tokens": 4},
        DINO,
        num_patches=16**2,
        num_first=5,
    ),
}
NAFLEX = Tower(
    "siglip2_vision_model",
    {"num_patches": 256, "patch_size": 16},
    SIGLIP
    | {
        "resample": 2,
        "image_processor_type": "Siglip2ImageProcessor",
        "processor_class": "Siglip2Processor",
        "max_num_patches": 256,
        "patch_size": 16,
    },
    num_patches=0,
    num_first=0,
    within="siglip2",
)


def save_tower(tower: Tower, folder: Path) -> str:
    """Save a tiny random tower; returns its folder."""
    import torch
    from transformers import AutoConfig, AutoModel

    vision = AutoConfig.for_model(tower.kind, **tower.sizes, **tower.config)
    if tower.within:
        text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        text |= {"num_attention_heads": 2, "vocab_size": 64}
        config = AutoConfig.for_model(
            tower.within, vision_config=vision.to_dict(), text_config=text
        )
    else:
        config = vision
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(tower.processor))
    return str(folder)
