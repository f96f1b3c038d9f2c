"""Formats questions and answers as text, and tokenizes it with labels on the answers."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lnt_core.config import Conversation
from lnt_core.data.chat_template import ChatTemplate, Segment
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INT32 = "i"
"""4 bytes a value; a tuple takes 8, and up to 28 more for each integer."""
IGNORE = -100
"""Label of a token without loss; torch's cross-entropy skips it."""

VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant "
    "gives helpful, detailed, and polite answers to the human's questions."
)
"""System prompt of `vicuna_v1` in LLaVA's code (Visual Instruction Tuning, arXiv:2304.08485)."""

LLAVA_LLAMA_2_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language."
)
"""System prompt of `llava_llama_2` in LLaVA's code, for LLaMA-2-chat."""
SYSTEM_BLOCK = f"<<SYS>>\n{LLAVA_LLAMA_2_SYSTEM}\n<</SYS>>\n\n"
"""How LLaMA-2-chat is given a system prompt, at the start of the first question."""


@dataclass(frozen=True)
class Encoded:
    """One conversation as token ids, kept in arrays of int32 whatever sequence they are given as.

    Raises:
        OverflowError: A value needs more than 32 bits.
    """

    input_ids: Sequence[int]
    labels: Sequence[int]
    """Equal to ``input_ids`` at answer tokens, ``IGNORE`` elsewhere."""
    images: tuple[Path, ...] = ()
    extras: dict[str, Sequence[int]] = field(default_factory=dict)
    """What else the model takes of each token, by the names of its forward pass."""

    def __post_init__(self) -> None:
        for name in ("input_ids", "labels"):
            object.__setattr__(self, name, _int32(getattr(self, name)))
        extras = {name: _int32(values) for name, values in self.extras.items()}
        object.__setattr__(self, "extras", extras)

    @property
    def is_learnt(self) -> bool:
        """Whether any of its tokens is learnt."""
        return any(label != IGNORE for label in self.labels[1:])

    def cut(self, max_length: int | None) -> "Encoded":
        """The first ``max_length`` tokens."""
        extras = {name: values[:max_length] for name, values in self.extras.items()}
        return replace(
            self,
            input_ids=self.input_ids[:max_length],
            labels=self.labels[:max_length],
            extras=extras,
        )


def _int32(values: Sequence[int]) -> Sequence[int]:
    is_one = isinstance(values, array) and values.typecode == _INT32
    return values if is_one else array(_INT32, values)


class ImageCutOffError(DataError):
    """A conversation has an image beyond the tokens to which it is cut, but an answer before."""


@dataclass(frozen=True)
class Conversations:
    """Encodes conversations as token ids, in one style, for one model."""

    style: Conversation
    tokenizer: "PreTrainedTokenizerBase"
    image_token: str
    """Placeholder of one image feature in the text; the model puts the feature in its place."""
    num_image_tokens: int
    template: ChatTemplate | None = None
    """The model's own, for the style ``chat_template``."""

    @property
    def end(self) -> str:
        """The token after an answer, with which a model learns to stop."""
        return self.template.end if self.template else str(self.tokenizer.eos_token)

    @property
    def image_id(self) -> int:
        """The id of each token in whose place the model puts a feature of an image."""
        return int(self.tokenizer.convert_tokens_to_ids(self.image_token))

    @property
    def takes_system(self) -> bool:
        """Whether a system turn has a place in a conversation; else it is left out."""
        return self.template is not None and self.template.takes_system

    @property
    def sees_images(self) -> bool:
        """Whether the number of an image's tokens depends on the image."""
        return False

    @property
    def most_image_tokens(self) -> int:
        """An upper bound of the tokens of one image."""
        return self.num_image_tokens

    def encode(self, sample: Sample, *, max_length: int | None = None) -> Encoded:
        """Token ids of a conversation, with labels on each answer and the end token after it.

        Args:
            sample: The conversation.
            max_length: Longer conversations are truncated to this many tokens.

        Raises:
            DataError: A question or answer contains the image token, or a reserved character.
            ImageCutOffError: An image after an answer is cut off.
        """
        encoded = self._tokenize(self._segments(sample.turns, sample.system), sample.images)
        cut = encoded.cut(max_length)
        lost = encoded.input_ids.count(self.image_id) - cut.input_ids.count(self.image_id)
        if lost and cut.is_learnt:  # without an answer it is left out as a whole
            raise ImageCutOffError(
                f"it has an image beyond its first {max_length} tokens (max_length), and "
                f"{len(encoded.input_ids)} tokens in all"
            )
        return replace(cut, images=sample.images)

    def encode_prompt(
        self,
        question: str,
        images: Sequence[Path | Image.Image] = (),
        *,
        examples: tuple[tuple[str, str], ...] = (),
    ) -> Encoded:
        """The prompt that asks ``question``, up to the start of the answer.

        Args:
            question: Without ``<image>``: the images come before it.
            images: Files, or images in RGB.
            examples: Questions with their answers, which come before all.
        """
        asked = "\n".join([*[IMAGE] * len(images), question])
        return self._tokenize(self._prompt(examples, asked), images)

    def prompt_text(self, question: str, *, examples: tuple[tuple[str, str], ...] = ()) -> str:
        """The text of a prompt as it is logged, with a single ``<image>``."""
        segments = self._prompt(examples, f"{IMAGE}\n{question}")
        return "".join(text for text, _ in segments).replace(self.image_token, IMAGE)

    def _prompt(self, turns: tuple[tuple[str, str], ...], question: str) -> list[Segment]:
        """Segments up to the start of the answer to ``question``."""
        if self.template is not None:
            return self.template.prompt(turns, question)
        return self._segments((*turns, (question, "")))[:-1]

    def _segments(self, turns: tuple[tuple[str, str], ...], system: str = "") -> list[Segment]:
        """Segments that are alternately not learnt (questions) and learnt (answers)."""
        if self.template is not None:
            return self.template.segments(turns, system if self.takes_system else "")
        segments: list[Segment] = []
        for number, (question, answer) in enumerate(turns):
            if self.style == "plain":
                segments += [(f"{question}\n", False), (f"{answer}{self.end}", True)]
            elif self.style == "llava_llama_2":
                begin = str(self.tokenizer.bos_token)  # the first is the tokenizer's to add
                start = f"[INST] {SYSTEM_BLOCK}" if number == 0 else f"{begin}[INST] "
                segments += [
                    (f"{start}{question} [/INST]", False),
                    (f" {answer} {self.end}", True),
                ]
            else:
                head = f"{VICUNA_SYSTEM} " if number == 0 else ""
                segments += [
                    (f"{head}USER: {question} ASSISTANT:", False),
                    (f" {answer}{self.end}", True),
                ]
        return segments

    def _tokenize(self, segments: list[Segment], images: Sequence[Path | Image.Image]) -> Encoded:
        marker = IMAGE if self.template is None else self.image_token
        image_run = self.image_token * self.num_image_tokens
        pieces = [(t if learnt else t.replace(marker, image_run), learnt) for t, learnt in segments]
        text, spans = joined(pieces)
        encoded = self.tokenizer(
            text,
            return_offsets_mapping=True,
            add_special_tokens=self.template is None or self.template.adds_special_tokens(text),
        )
        ids = encoded["input_ids"]
        if ids.count(self.image_id) != self.num_image_tokens * len(images):
            raise self._contains_image(segments)
        return labelled(ids, encoded["offset_mapping"], spans)

    def _contains_image(self, segments: list[Segment]) -> DataError:
        text = "".join(piece for piece, _ in segments)
        return DataError(
            f"a question or answer contains {self.image_token!r}, the image token: {text[:200]!r}"
        )


def joined(segments: Sequence[Segment]) -> tuple[str, list[tuple[int, int]]]:
    """The text of segments, and where in it those that are learnt begin and end.

    Example:
        >>> joined([("Who? ", False), ("I.", True)])
        ('Who? I.', [(5, 7)])
    """
    text, spans = "", []
    for piece, learnt in segments:
        if learnt:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return text, spans


def labelled(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> Encoded:
    """Token ids with labels on those that overlap a span of the text.

    Args:
        ids: Token ids of a text.
        offsets: Where in the text each token begins and ends.
        spans: Where in the text that is learnt begins and ends.
    """
    learnt = [any(a < end and start < b for start, end in spans) for a, b in offsets]
    labels = [i if keep else IGNORE for i, keep in zip(ids, learnt, strict=True)]
    return Encoded(ids, labels)
