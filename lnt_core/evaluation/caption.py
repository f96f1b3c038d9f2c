"""Captioning with exported weights: an adapter or delta on its base, or a merged checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image
from torch import nn

from lnt_core.config import CAPTION_PROMPT, CaptioningConfig, TrialConfig
from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.images import open_rgb
from lnt_core.errors import DataError, all_problems
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.evaluation.loaded import load_export
from lnt_core.models.build import load_base
from lnt_core.models.plain import save_plain
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.strategies.merge import check_mergeable, merge
from lnt_core.strategies.weights import load_connector

BATCH_SIZE = 16
MAX_NEW_TOKENS = CaptioningConfig.model_fields["max_new_tokens"].default


@dataclass(frozen=True)
class Captioner:
    """A tuned model that captions images with the settings under which it was scored."""

    base: VisionLanguageModel
    model: nn.Module
    prompt: str
    max_new_tokens: int
    bf16: bool
    opening: Opening

    @classmethod
    def load(cls, config: TrialConfig, folder: Path, *, cache: Path, device: str = "cpu") -> Self:
        """Build the model from an export.

        The base is loaded by its name, unless the folder has a merged checkpoint.

        Args:
            config: Config of the trial that trained the weights.
            folder: Folder of the export.
            cache: Folder kept between runs, where the tiny model is.
            device: ``cpu``, ``cuda`` or ``cuda:N``.

        Raises:
            LntError: The base or the weights cannot be loaded.
        """
        loaded = load_export(config, folder, cache=cache, device=device)
        return cls(
            loaded.base,
            loaded.model,
            *asked(config),
            bf16=loaded.bf16,
            opening=loaded.opening,
        )

    def open(self, source: Path | bytes) -> Image.Image:
        """Open an image, given as a file or its content, in RGB and as those it was trained on.

        Raises:
            DataError: It cannot be read.
        """
        return open_rgb(source, self.opening)

    def caption(self, images: Sequence[Image.Image], prompt: str | None = None) -> list[str]:
        """Caption each image.

        Args:
            images: Images in RGB, from :meth:`open`.
            prompt: The question. Default: that of the sweep, without its text examples.
        """
        asked, captions = prompt or self.prompt, list[str]()
        conversations = self.base.conversations
        for start in range(0, len(images), BATCH_SIZE):
            part = images[start : start + BATCH_SIZE]
            captions += greedy_answers(
                self.model,
                [conversations.encode_prompt(asked, [image]) for image in part],
                self.base.joined(self.base.image_inputs([[image] for image in part])),
                conversations.tokenizer,
                max_new_tokens=self.max_new_tokens,
                bf16=self.bf16,
            )
        return [" ".join(caption.split()) for caption in captions]


def write_merged(config: TrialConfig, weights: Path, out: Path, *, cache: Path) -> None:
    """Merge saved weights into their base, and write the result as a transformers checkpoint.

    Raises:
        LntError: The strategy or architecture cannot be merged, or the base cannot be loaded.
    """
    check_mergeable(config.strategy.name)
    base = load_base(config.model, cache=cache)  # float32, so that merging does not round
    load_connector(base, weights)
    save_plain(base, merge(base, weights), out, max_new_tokens=asked(config)[1])


def read_images(paths: Sequence[Path], *, opening: Opening = USUAL) -> list[Image.Image]:
    """Open images, in RGB.

    Args:
        paths: Image files.
        opening: How: `data.opening` of the trial.

    Raises:
        ConfigError: Files are missing or are not images; names each of them.
    """
    images, problems = [], []
    for path in paths:
        try:
            images.append(open_rgb(path, opening))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise all_problems("IMAGE", problems)
    return images


def asked(config: TrialConfig) -> tuple[str, int]:
    """The prompt of a trial's captions, and their maximum number of tokens."""
    select = config.data.select
    if isinstance(select, CaptioningConfig):
        return select.prompt, select.max_new_tokens
    return CAPTION_PROMPT, MAX_NEW_TOKENS
