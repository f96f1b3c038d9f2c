"""Makes tiny random checkpoints of `tests.vlm_families`, and pictures to show them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.families import byte_level
from tests.vlm_families import FAMILIES, VisionFamily

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save(name: str, folder: Path, **changes: Any) -> str:
    """Save a tiny random checkpoint of a family with its processor; returns its folder.

    Args:
        name: One of ``FAMILIES``.
        folder: Where to; created.
        changes: Values of the config that differ.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

    family = FAMILIES[name]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _save_processor(family, folder)
    given = _with_ids(family.config | changes, tokenizer.convert_tokens_to_ids)
    given["text_config"] = given["text_config"] | {"vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(family.kind, **given))
    ends = [tokenizer.convert_tokens_to_ids(end) for end in family.ends]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends or tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _stir(model)
    model.save_pretrained(folder)
    return str(folder)


def on_meta(kind: str, **config: Any) -> "PreTrainedModel":
    """A model of transformers' ``model_type`` without weights, in its default size."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(AutoConfig.for_model(kind, **config))


def _with_ids(config: dict[str, Any], id_of: Callable[[str], int]) -> dict[str, Any]:
    """The config with ids in place of tokens."""
    return {
        key: _with_ids(value, id_of)
        if isinstance(value, dict)
        else id_of(value)
        if key.endswith("token_id")
        else value
        for key, value in config.items()
    }


def _save_processor(family: VisionFamily, folder: Path) -> Any:
    """Write the files of tokenizer, images, processor and chat; returns the tokenizer."""
    from tokenizers import AddedToken

    tokenizer = byte_level(folder)
    tokenizer.add_special_tokens({**family.special})
    tokenizer.add_tokens([AddedToken(t, special=True, normalized=False) for t in family.more])
    tokenizer.save_pretrained(folder)
    own = folder / "tokenizer_config.json"
    settings = json.loads(own.read_text())
    own.write_text(json.dumps(settings | {"extra_special_tokens": family.named} | family.named))
    files = {"preprocessor_config.json": family.images, "processor_config.json": family.processor}
    for name, content in files.items():
        if content:
            (folder / name).write_text(json.dumps(content))
    if family.template is not None:
        (folder / "chat_template.jinja").write_text(family.template)
    return tokenizer


def _stir(model: "PreTrainedModel") -> None:
    """Give random values to what starts at zero or one: norms, biases, `image_newline`."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PICTURES = [picture(90, 60), picture(40, 70)]
