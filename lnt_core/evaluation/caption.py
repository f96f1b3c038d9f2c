"""Captioning with exported weights: an adapter or delta on its base, or a merged checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image
from torch import nn

from lnt_core.config import CAPTION_PROMPT, CaptioningConfig, ModelConfig, TrialConfig
from lnt_core.data.images import open_rgb
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.numerics import settle_numerics
from lnt_core.errors import DataError, all_problems
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.models.build import load_base
from lnt_core.models.plain import MERGED, save_plain
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.strategies.merge import check_mergeable, merge
from lnt_core.strategies.weights import load_connector, load_weights

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
    exif_orientation: bool

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
        merged, precision = folder / MERGED, config.train.precision
        if precision == "tf32" and not is_gpu(device):
            precision = "fp32"  # the same weights, and the only format that a CPU has for them
        settle_numerics(device, precision, deterministic=config.train.deterministic)
        if merged.is_dir():
            whole = ModelConfig(checkpoint=str(merged), conversation=config.model.conversation)
            base = load_base(whole, cache=cache, device=device, precision=precision)
            model: nn.Module = base.trial_copy()
        else:
            base = load_base(config.model, cache=cache, device=device, precision=precision)
            load_connector(base, folder)
            model = load_weights(base.trial_copy(), folder).to(device)
        return cls(
            base,
            model.eval(),
            *asked(config),
            bf16=precision == "bf16",
            exif_orientation=config.data.exif_orientation,
        )

    def open(self, source: Path | bytes) -> Image.Image:
        """Open an image, given as a file or its content, in RGB and as those it was trained on.

        Raises:
            DataError: It cannot be read.
        """
        return open_rgb(source, exif_orientation=self.exif_orientation)

    def caption(self, images: Sequence[Image.Image], prompt: str | None = None) -> list[str]:
        """Caption each image.

        Args:
            images: Images in RGB, from :meth:`open`.
            prompt: The question. Default: that of the sweep, without its text examples.
        """
        ids = self.base.conversations.encode_prompt(prompt or self.prompt)
        captions: list[str] = []
        for start in range(0, len(images), BATCH_SIZE):
            features = self.base.features_of(list(images[start : start + BATCH_SIZE]))
            captions += greedy_answers(
                self.model,
                features,
                [ids] * len(features),
                self.base.conversations.tokenizer,
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


def read_images(paths: Sequence[Path], *, exif_orientation: bool = True) -> list[Image.Image]:
    """Open images, in RGB.

    Args:
        paths: Image files.
        exif_orientation: Whether to turn them upright: `data.exif_orientation` of the trial.

    Raises:
        ConfigError: Files are missing or are not images; names each of them.
    """
    images, problems = [], []
    for path in paths:
        try:
            images.append(open_rgb(path, exif_orientation=exif_orientation))
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
