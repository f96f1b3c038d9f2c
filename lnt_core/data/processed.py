"""Encodes conversations with a checkpoint's own processor, which knows an image's tokens."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.chat_template import Segment
from lnt_core.data.conversation import Conversations, Encoded, joined, labelled
from lnt_core.data.images import open_rgb
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.errors import ConfigError, DataError

_OWN = ("input_ids", "attention_mask", "offset_mapping", "text_replacement_offsets", "labels")
"""What a processor returns of a text besides what only its model knows."""

_LARGE = (1024, 8192)
"""Pixels of a side; processors resize or tile to less."""


@dataclass(frozen=True)
class ProcessedConversations(Conversations):
    """Conversations of a model whose images have as many tokens as its processor says.

    ``image_token`` is what stands for one whole image in a text.
    """

    processor: Any = None
    opening: Opening = USUAL
    """How images are opened, which changes their sizes."""

    @property
    def image_id(self) -> int:
        """The id of each token in whose place the model puts a feature of an image."""
        return int(self.processor.image_token_id)

    @property
    def sees_images(self) -> bool:
        """Whether the number of an image's tokens depends on the image: it may."""
        return True

    @property
    def most_image_tokens(self) -> int:
        """Tokens of the image that has most of some very large ones, wide, square and tall."""
        return max(self.tokens_of([(height, width) for height in _LARGE for width in _LARGE]))

    def tokens_of(self, sizes: Sequence[tuple[int, int]]) -> list[int]:
        """The tokens of images of these heights and widths, each shown alone."""
        if not hasattr(self.processor, "_get_num_multimodal_tokens"):  # SmolVLM's
            of_size = {size: self._tokens_of_blank(*size) for size in dict.fromkeys(sizes)}
            return [of_size[size] for size in sizes]
        counted = self.processor._get_num_multimodal_tokens(image_sizes=list(sizes))
        return [int(count) for count in counted["num_image_tokens"]]

    def _tokens_of_blank(self, height: int, width: int) -> int:
        """Tokens of a blank image, and of what the processor puts around and between its tiles."""
        blank = Image.new("RGB", (width, height))
        return len(self._processed(self.image_token, [blank])["input_ids"][0])

    def _tokenize(self, segments: list[Segment], images: Sequence[Path | Image.Image]) -> Encoded:
        pieces = segments
        if self.template is None:
            pieces = [
                (t if own else t.replace(IMAGE, self.image_token), own) for t, own in segments
            ]
        text, spans = joined(pieces)
        if text.count(self.image_token) != len(images):
            raise self._contains_image(segments)
        adds = self.template is None or self.template.adds_special_tokens(text)
        done = self._processed(
            text,
            images,
            add_special_tokens=adds,
            return_offsets_mapping=True,
            return_text_replacement_offsets=True,
        )
        replaced = done.get("text_replacement_offsets") or [[]]  # absent without images
        moved = [_moved(span, replaced[0]) for span in spans]
        encoded = labelled(done["input_ids"][0], done["offset_mapping"][0], moved)
        return replace(encoded, extras=_extras(done))

    def _processed(
        self, text: str, images: Sequence[Path | Image.Image], **options: Any
    ) -> dict[str, Any]:
        """What the processor returns for one text and its images."""
        opened = [self._open(image) for image in images]
        done = self.processor(text=[text], images=[opened] if opened else None, **options)
        return dict(done)

    def _open(self, image: Path | Image.Image) -> Image.Image:
        if isinstance(image, Image.Image):
            return image
        return open_rgb(image, self.opening)


@dataclass(frozen=True)
class SuffixConversations(ProcessedConversations):
    """Conversations of a model whose processor takes a question and, as suffix, its answer."""

    def encode(self, sample: Sample, *, max_length: int | None = None) -> Encoded:
        """Token ids of a question and its answer, with labels on the answer and the end token.

        Raises:
            DataError: There are several questions, or no image.
        """
        if len(sample.turns) != 1 or not sample.images:
            raise DataError(
                "this model learns from one question with its answer about an image, but a "
                f"conversation has {len(sample.turns)} questions and {len(sample.images)} images: "
                f"{sample.turns[0][0][:200]!r}"
            )
        ((question, answer),) = sample.turns
        done = self._asked(
            question.replace(f"{IMAGE}\n", "").strip(), sample.images, suffix=[answer]
        )
        encoded = Encoded(
            done["input_ids"][0],
            [int(label) for label in done["labels"][0]],
            sample.images,
            _extras(done),
        )
        return encoded.cut(max_length)

    def encode_prompt(
        self,
        question: str,
        images: Sequence[Path | Image.Image] = (),
        *,
        examples: tuple[tuple[str, str], ...] = (),
    ) -> Encoded:
        """The prompt that asks ``question``.

        Raises:
            ConfigError: There are examples, of which this model takes none.
        """
        if examples:
            raise ConfigError(
                "data.select.text_examples must be 0: this model takes one question only"
            )
        done = self._asked(question, images)
        labelled_none = labelled(done["input_ids"][0], [(0, 0)] * len(done["input_ids"][0]), [])
        return replace(labelled_none, extras=_extras(done))

    def prompt_text(self, question: str, *, examples: tuple[tuple[str, str], ...] = ()) -> str:
        """The text of a prompt as it is logged, with a single ``<image>``."""
        return f"{IMAGE}{question}\n"

    def _asked(
        self, question: str, images: Sequence[Path | Image.Image], **options: Any
    ) -> dict[str, Any]:
        if self.image_token in question:
            raise self._contains_image([(question, False)])
        return self._processed(self.image_token * len(images) + question, images, **options)


def takes_suffix(processor: Any) -> bool:
    """Whether a processor makes text and labels of a question and its answer by itself."""
    return "suffix" in inspect.signature(type(processor).__call__).parameters


def _extras(done: dict[str, Any]) -> dict[str, Sequence[int]]:
    """What a processor says of each token."""
    length = len(done["input_ids"][0])
    return {
        name: [int(value) for value in values[0]]
        for name, values in done.items()
        if name not in _OWN and is_of_tokens(values, length)
    }


def is_of_tokens(values: Any, length: int) -> bool:
    """Whether a value has one whole number for each of ``length`` tokens of one text."""
    if hasattr(values, "shape"):
        return tuple(values.shape) == (1, length)
    try:
        return len(values) == 1 and len(values[0]) == length and isinstance(values[0][0], int)
    except TypeError:
        return False


def _moved(span: tuple[int, int], replaced: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Where a span is once each image's placeholder before it has become all of its tokens."""
    gain = sum(
        (r["new_span"][1] - r["new_span"][0]) - (r["span"][1] - r["span"][0])
        for r in replaced
        if r["span"][1] <= span[0]
    )
    return span[0] + gain, span[1] + gain
