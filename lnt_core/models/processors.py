"""Loads a checkpoint's own processor, for text and images alone.

Processors of models that also take videos want torchvision for these. Images are always prepared
with PIL, so that a sweep's digits do not depend on whether a node has torchvision.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
"""Files that may belong to a processor or tokenizer."""
_OF_WEIGHTS = ("config.json", "generation_config.json", "adapter_config.json")


def load_processor(checkpoint: str, config: "PretrainedConfig") -> Any:
    """The processor of a checkpoint, which refuses videos.

    Args:
        checkpoint: Folder or Hub name.
        config: The model's config, which tells the class of the processor.

    Raises:
        ConfigError: transformers has no processor for this architecture.
    """
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = PROCESSOR_MAPPING.get(type(config), None)
    if kind is None or "image_processor" not in kind.get_attributes():
        raise ConfigError(
            f"model.checkpoint: transformers has no processor of text and images for "
            f"{type(config).__name__}"
        )
    makers = {
        "tokenizer": lambda: AutoTokenizer.from_pretrained(checkpoint),
        "image_processor": lambda: AutoImageProcessor.from_pretrained(checkpoint, backend="pil"),
        "video_processor": _NoVideos,
    }
    attributes = kind.get_attributes()
    if unknown := [name for name in attributes if name not in makers]:
        raise ConfigError(
            f"model.checkpoint: the processor of {type(config).__name__} needs {unknown[0]}, but "
            "lnt prepares text and images only"
        )
    settings, _ = kind.get_processor_dict(checkpoint)
    own: Any = type(kind.__name__, (_WithoutVideos, kind), {})
    return own.from_args_and_dict([makers[name]() for name in attributes], settings)


def copy_processor(checkpoint: str, folder: Path) -> None:
    """Copy the files of a checkpoint's processor and tokenizer, as they are published.

    Args:
        checkpoint: Folder, or Hub name in the local cache.
        folder: Folder to copy to, which has config and weights of its own.
    """
    from huggingface_hub import snapshot_download

    source = Path(checkpoint)
    if not source.is_dir():
        source = Path(snapshot_download(checkpoint, allow_patterns=_FILES, local_files_only=True))
    for pattern in _FILES:
        for file in source.glob(pattern):
            if file.name not in _OF_WEIGHTS and not file.name.endswith(".index.json"):
                shutil.copyfile(file, folder / file.name)


class _NoVideos:
    """Stands where a processor has its part for videos, of which lnt has none."""

    model_input_names: tuple[str, ...] = ()
    merge_size = temporal_patch_size = 2
    num_frames = fps = 1

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ConfigError("lnt prepares text and images only, but was given a video")

    def __repr__(self) -> str:  # in what a processor says of itself: the same in each process
        return type(self).__name__


class _WithoutVideos:
    """Lets a processor have ``_NoVideos``, without torchvision, which its own class wants."""

    def check_argument_for_proper_class(self, name: str, argument: Any) -> type:
        if isinstance(argument, _NoVideos):
            return _NoVideos
        proper: type = super().check_argument_for_proper_class(name, argument)  # type: ignore[misc]
        return proper

    def __repr__(self) -> str:  # transformers' own lists what the parts are made of
        return type(self).__name__
