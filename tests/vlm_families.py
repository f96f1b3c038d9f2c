"""Vision-language checkpoints as they are published, with tiny random weights, made on the spot.

What is real: architecture, special tokens, processor and its settings, ties and what a chat looks
like, as in the files of Qwen/Qwen2.5-VL-3B-Instruct, Qwen/Qwen3-VL-2B-Instruct,
HuggingFaceM4/Idefics3-8B-Llama3, HuggingFaceTB/SmolVLM2-2.2B-Instruct, OpenGVLab/InternVL3-2B-hf,
google/gemma-3-4b-it, google/paligemma2-3b-pt-224, llava-hf/llava-v1.6-mistral-7b-hf and
llava-hf/llava-onevision-qwen2-7b-ov-hf on the Hugging Face Hub; sizes are scaled down. Text is
bytes. Each tower has more blocks than its decoder. `tests.vlm_checkpoints` makes and saves them.
"""

from dataclasses import dataclass, field
from typing import Any

from tests import vlm_chats as chats

HALF, CLIP_MEAN = [0.5, 0.5, 0.5], [0.48145466, 0.4578275, 0.40821073]
CLIP_STD, SQUARE = [0.26862954, 0.26130258, 0.27577711], {"height": 32, "width": 32}
TILES = [[32, 64], [64, 32], [64, 64]]
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
QWEN_TOWER = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "out_hidden_size": 32,
    "num_heads": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
SIGLIP = TOWER | {"model_type": "siglip_vision_model", "vision_use_head": False}
ENDS_OF_QWEN = {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|im_end|>"}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


@dataclass(frozen=True)
class VisionFamily:
    """How one family is published."""

    kind: str
    """transformers' ``model_type``."""
    config: dict[str, Any]
    """Its config; in place of an id stands the token itself."""
    special: dict[str, str]
    """Beginning, end and padding."""
    more: tuple[str, ...]
    """Further special tokens."""
    images: dict[str, Any]
    """``preprocessor_config.json``."""
    named: dict[str, str] = field(default_factory=dict)
    """Special tokens that the tokenizer has as attributes."""
    processor: dict[str, Any] = field(default_factory=dict)
    """``processor_config.json``, where there is one."""
    template: str | None = None
    ends: tuple[str, ...] = ()
    """``eos_token_id`` of ``generation_config.json``, if that is a list."""


def _images(kind: str, owner: str, mean: list[float] = HALF, **settings: Any) -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": mean,
        "image_std": CLIP_STD if mean == CLIP_MEAN else HALF,
        "image_processor_type": kind,
        "processor_class": owner,
        **settings,
    }


def _qwen(number: str, template: str, tower: dict[str, Any], **text: Any) -> VisionFamily:
    patch = tower["patch_size"]
    return VisionFamily(
        f"qwen{number}_vl",
        {
            "text_config": TEXT | ENDS_OF_QWEN | text,
            "vision_config": QWEN_TOWER | tower,
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
            "tie_word_embeddings": True,
        },
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        (
            *("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
            *("<|image_pad|>", "<|video_pad|>"),
        ),
        _images(
            "Qwen2VLImageProcessor",
            f"Qwen{number}VLProcessor".replace("2_5", "2_5_"),
            CLIP_MEAN if number == "2_5" else HALF,
            patch_size=patch,
            temporal_patch_size=2,
            merge_size=2,
            size={"shortest_edge": 4 * patch**2, "longest_edge": 64 * patch**2},
        ),
        template=template,
        ends=("<|im_end|>", "<|endoftext|>"),
    )


def _idefics(kind: str, special: dict[str, str], template: str, **named: str) -> VisionFamily:
    name = {"idefics3": "Idefics3", "smolvlm": "SmolVLM"}[kind]
    grid = tuple(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5))
    return VisionFamily(
        kind,
        {
            "text_config": {"model_type": "llama", "pad_token_id": special["pad_token"]} | TEXT,
            "vision_config": TOWER,
            "scale_factor": 2,
            "image_token_id": "<image>",
            "pad_token_id": special["pad_token"],
            "tie_word_embeddings": False,
        },
        special,
        ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *grid),
        _images(
            f"{name}ImageProcessor",
            f"{name}Processor",
            do_image_splitting=True,
            do_pad=True,
            max_image_size={"longest_edge": 32},
            resample=1,
            size={"longest_edge": 64},
        ),
        named,
        {"image_seq_len": 4, "processor_class": f"{name}Processor"},
        template,
        ("<end_of_utterance>",) if kind == "smolvlm" else (),
    )


GEMMA = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
FAMILIES = {
    "qwen2_5_vl": _qwen(
        "2_5",
        chats.QWEN_2_5,
        {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]},
        rope_parameters=MROPE,
    ),
    "qwen3_vl": _qwen(
        "3",
        chats.QWEN_3,
        {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]},
        rope_parameters=MROPE | {"mrope_interleaved": True},
        head_dim=8,
    ),
    "idefics3": _idefics(
        "idefics3",
        {
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|end_of_text|>",
        },
        chats.IDEFICS_3,
    ),
    "smolvlm2": _idefics(
        "smolvlm",
        {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>", "pad_token": "<|im_end|>"},
        chats.SMOL,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    ),
    "internvl3": VisionFamily(
        "internvl",
        {
            "text_config": {"model_type": "qwen2"} | TEXT | ENDS_OF_QWEN,
            "vision_config": TOWER | {"image_size": [32, 32], "patch_size": [4, 4]},
            "image_token_id": "<IMG_CONTEXT>",
            "image_seq_length": 16,
            "downsample_ratio": 0.5,
        },
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ("<|im_start|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        _images(
            "GotOcr2ImageProcessor",
            "InternVLProcessor",
            crop_to_patches=False,  # the processor turns it on
            min_patches=1,
            max_patches=4,
            resample=3,
            size=SQUARE,
        ),
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        {"image_seq_length": 16, "processor_class": "InternVLProcessor"},
        chats.INTERN,
    ),
    "gemma3": VisionFamily(
        "gemma3",
        {
            "text_config": TEXT
            | {
                "head_dim": 8,
                "sliding_window": 16,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": SIGLIP,
            "mm_tokens_per_image": 4,
            "image_token_id": "<image_soft_token>",
            "boi_token_id": "<start_of_image>",
            "eoi_token_id": "<end_of_image>",
            "tie_word_embeddings": True,
        },
        GEMMA,
        (
            *("<start_of_turn>", "<end_of_turn>"),
            *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        ),
        _images(
            "Gemma3ImageProcessor",
            "Gemma3Processor",
            do_pan_and_scan=None,
            image_seq_length=4,
            resample=2,
            size=SQUARE,
        ),
        {
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        {"image_seq_length": 4, "processor_class": "Gemma3Processor"},
        chats.GEMMA_3,
        ("<eos>", "<end_of_turn>"),
    ),
    "paligemma2": VisionFamily(
        "paligemma",
        {
            "text_config": {"model_type": "gemma2", "head_dim": 8, "pad_token_id": "<pad>"} | TEXT,
            "vision_config": SIGLIP,
            "projection_dim": 32,
            "image_token_id": "<image>",
            "tie_word_embeddings": True,
        },
        GEMMA,
        (
            "<image>",
            *(f"<loc{number:04d}>" for number in range(1024)),
            *(f"<seg{number:03d}>" for number in range(128)),
        ),
        _images(
            "SiglipImageProcessor",
            "PaliGemmaProcessor",
            image_seq_length=16,
            resample=3,
            size=SQUARE,
        ),
        {"image_token": "<image>"},
    ),
    "llava_next": VisionFamily(
        "llava_next",
        {
            "text_config": {"model_type": "mistral"} | TEXT,
            "vision_config": TOWER | {"model_type": "clip_vision_model"},
            "image_token_id": "<image>",
            "image_grid_pinpoints": TILES,
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "tie_word_embeddings": False,
        },
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
        ("<image>",),
        _images(
            "LlavaNextImageProcessor",
            "LlavaNextProcessor",
            CLIP_MEAN,
            crop_size=SQUARE,
            do_center_crop=True,
            do_pad=True,
            image_grid_pinpoints=TILES,
            resample=3,
            size={"shortest_edge": 32},
        ),
        {"image_token": "<image>"},
        {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": 8,
            "processor_class": "LlavaNextProcessor",
            "vision_feature_select_strategy": "default",
        },
        chats.NEXT_MISTRAL,
    ),
    "llava_onevision": VisionFamily(
        "llava_onevision",
        {
            "text_config": {"model_type": "qwen2"} | TEXT | ENDS_OF_QWEN,
            "vision_config": SIGLIP,
            "image_token_id": "<image>",
            "video_token_id": "<video>",
            "image_grid_pinpoints": [[32, 32], *TILES],
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_9",
            "tie_word_embeddings": False,
        },
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ("<|im_start|>", "<image>", "<video>"),
        _images(
            "LlavaOnevisionImageProcessor",
            "LlavaOnevisionProcessor",
            do_pad=True,
            image_grid_pinpoints=[[32, 32], *TILES],
            resample=3,
            size=SQUARE,
        ),
        {"image_token": "<image>", "video_token": "<video>"},
        {
            "image_token": "<image>",
            "num_image_tokens": 16,
            "processor_class": "LlavaOnevisionProcessor",
            "video_token": "<video>",
            "vision_aspect_ratio": "anyres_max_9",
            "vision_feature_select_strategy": "full",
        },
        chats.ONEVISION,
    ),
}
