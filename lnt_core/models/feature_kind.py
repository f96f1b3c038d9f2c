"""Names what a tower's features depend on, besides the images and number formats."""

import hashlib
import json

import PIL
import torch
import transformers

from lnt_core.config.opening import Opening
from lnt_core.models.vlm import VisionLanguageModel

_NOT_OF_THE_TOWER = {"text_config", "_name_or_path", "transformers_version"}
"""Keys of a model's config that its features do not depend on."""


def feature_kind(base: VisionLanguageModel, opening: Opening) -> str:
    """Everything that decides what features an image has in this model: settings and weights.

    Args:
        base: The model whose tower computes the features.
        opening: How images are opened.
    """
    config = base.model.config
    preprocessing = [p for p in (base.image_processor, base.processor) if p is not None]
    return json.dumps(
        [
            type(base.model).__name__,
            {key: v for key, v in config.to_dict().items() if key not in _NOT_OF_THE_TOWER},
            config._attn_implementation,
            base.feature_layers,
            base.num_dropped,
            [str(part.to_dict()) for part in preprocessing],
            opening,
            _tower_sha256(base),
            [torch.__version__, transformers.__version__, PIL.__version__],
        ],
        default=str,
    )


def _tower_sha256(base: VisionLanguageModel) -> str:
    """Hash of the tower's weights, without what it contains of the connector."""
    digest = hashlib.sha256()
    trained = {id(parameter) for parameter in base.connector.values()}
    for name, tensor in (*base.tower.named_parameters(), *base.tower.named_buffers()):
        if id(tensor) not in trained:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().reshape(-1).view(torch.uint8)
            digest.update(flat.numpy().data)
    return digest.hexdigest()
