"""Formats questions and answers as text, and tokenizes it with labels on the answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.config import Conversation
from lnt_core.data.chat_template import ChatTemplate, Segment
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
    """One conversation as token ids."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Equal to ``input_ids`` at answer tokens, ``IGNORE`` elsewhere."""
    images: tuple[Path, ...]


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

    def encode(self, sample: Sample, *, max_length: int | None = None) -> Encoded:
        """Token ids of a conversation, with labels on each answer and the end token after it.

        Args:
            sample: The conversation.
            max_length: Longer conversations are truncated to this many tokens.

        Raises:
            DataError: A question or answer contains the image token, or a reserved character.
        """
        ids, answers = self._tokenize(self._segments(sample.turns), num_images=len(sample.images))
        labels = [i if a else IGNORE for i, a in zip(ids, answers, strict=True)]
        return Encoded(tuple(ids[:max_length]), tuple(labels[:max_length]), sample.images)

    def encode_prompt(
        self, question: str, *, image: bool = True, examples: tuple[tuple[str, str], ...] = ()
    ) -> list[int]:
        """Token ids of the prompt that asks ``question``, up to the start of the answer."""
        asked = f"{IMAGE}\n{question}" if image else question
        return self._tokenize(self._prompt(examples, asked), num_images=int(image))[0]

    def prompt_text(self, question: str, *, examples: tuple[tuple[str, str], ...] = ()) -> str:
        """The text of a prompt as it is logged, with a single ``<image>``."""
        segments = self._prompt(examples, f"{IMAGE}\n{question}")
        return "".join(text for text, _ in segments).replace(self.image_token, IMAGE)

    def _prompt(self, turns: tuple[tuple[str, str], ...], question: str) -> list[Segment]:
        """Segments up to the start of the answer to ``question``."""
        if self.template is not None:
            return self.template.prompt(turns, question)
        return self._segments((*turns, (question, "")))[:-1]

    def _segments(self, turns: tuple[tuple[str, str], ...]) -> list[Segment]:
        """Segments that are alternately not learnt (questions) and learnt (answers)."""
        if self.template is not None:
            return self.template.segments(turns)
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

    def _tokenize(
        self, segments: list[Segment], *, num_images: int
    ) -> tuple[list[int], list[bool]]:
        marker = IMAGE if self.template is None else self.image_token
        image_run = self.image_token * self.num_image_tokens
        text, spans = "", []
        for piece, is_answer in segments:
            start = len(text)
            text += piece if is_answer else piece.replace(marker, image_run)
            if is_answer:
                spans.append((start, len(text)))
        encoded = self.tokenizer(
            text,
            return_offsets_mapping=True,
            add_special_tokens=self.template is None or self.template.adds_special_tokens(text),
        )
        ids = encoded["input_ids"]
        image_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
        if ids.count(image_id) != self.num_image_tokens * num_images:
            raise DataError(
                f"a question or answer contains {self.image_token!r}, the image token: "
                f"{''.join(piece for piece, _ in segments)[:200]!r}"
            )
        answers = [
            any(a < end and start < b for start, end in spans) for a, b in encoded["offset_mapping"]
        ]
        return ids, answers
