"""Formats questions and answers as text, and tokenizes it with labels on the answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.config import Conversation
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100
"""Label of a token without loss; torch's cross-entropy skips it."""

VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant "
    "gives helpful, detailed, and polite answers to the human's questions."
)
"""System prompt of `vicuna_v1` in LLaVA's code (Visual Instruction Tuning, arXiv:2304.08485)."""

Segment = tuple[str, bool]
"""A piece of text, and whether it is an answer."""


@dataclass(frozen=True)
class Encoded:
    """One conversation as token ids."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Equal to ``input_ids`` at answer tokens, ``IGNORE`` elsewhere."""
    image: Path | None


@dataclass(frozen=True)
class Conversations:
    """Encodes conversations as token ids, in one style, for one model."""

    style: Conversation
    tokenizer: "PreTrainedTokenizerBase"
    image_token: str
    """Placeholder of one image feature in the text; the model puts the feature in its place."""
    num_image_tokens: int
    template: Any = None
    """Has ``apply_chat_template`` for the style ``chat_template``; the tokenizer if None."""

    def encode(self, sample: Sample, *, max_length: int | None = None) -> Encoded:
        """Token ids of a conversation, with labels on each answer and the end token after it.

        Args:
            sample: The conversation.
            max_length: Longer conversations are truncated to this many tokens.

        Raises:
            DataError: A question or answer contains the image token.
        """
        ids, answers = self._tokenize(self._segments(sample.turns), has_image=bool(sample.image))
        labels = [i if a else IGNORE for i, a in zip(ids, answers, strict=True)]
        return Encoded(tuple(ids[:max_length]), tuple(labels[:max_length]), sample.image)

    def encode_prompt(
        self, question: str, *, image: bool = True, examples: tuple[tuple[str, str], ...] = ()
    ) -> list[int]:
        """Token ids of the prompt that asks ``question``, up to the start of the answer."""
        asked = f"{IMAGE}\n{question}" if image else question
        segments = self._segments((*examples, (asked, "")))[:-1]
        return self._tokenize(segments, has_image=image)[0]

    def prompt_text(self, question: str, *, examples: tuple[tuple[str, str], ...] = ()) -> str:
        """The text of a prompt as it is logged, with a single ``<image>``."""
        segments = self._segments((*examples, (f"{IMAGE}\n{question}", "")))[:-1]
        return "".join(text for text, _ in segments)

    def _segments(self, turns: tuple[tuple[str, str], ...]) -> list[Segment]:
        """Alternating question and answer segments; the last is the last answer."""
        end = self.tokenizer.eos_token
        if self.style == "chat_template":
            return self._chat_segments(turns)
        segments: list[Segment] = []
        for number, (question, answer) in enumerate(turns):
            if self.style == "plain":
                segments += [(f"{question}\n", False), (f"{answer}{end}", True)]
            else:
                head = f"{VICUNA_SYSTEM} " if number == 0 else ""
                segments += [
                    (f"{head}USER: {question} ASSISTANT:", False),
                    (f" {answer}{end}", True),
                ]
        return segments

    def _chat_segments(self, turns: tuple[tuple[str, str], ...]) -> list[Segment]:
        """Segments of the model's own template, from the text that each message adds to it."""
        owner = self.template if self.template is not None else self.tokenizer
        messages: list[dict[str, Any]] = []
        segments: list[Segment] = []
        text = ""
        for question, answer in turns:
            content: list[dict[str, str]] = [{"type": "image"}] if IMAGE in question else []
            content.append({"type": "text", "text": question.replace(IMAGE, "").strip()})
            messages.append({"role": "user", "content": content})
            asked = owner.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
            answered = owner.apply_chat_template(messages, tokenize=False)
            if not asked.startswith(text) or not answered.startswith(asked):
                raise ConfigError(
                    "model.conversation is 'chat_template', but the model's template rewrites "
                    "earlier turns, so answers cannot be located in the text; choose 'vicuna_v1' "
                    "or 'plain'"
                )
            start = len(asked.rstrip(" "))  # a space and the word after it are one token
            segments += [(asked[len(text) : start], False), (answered[start:], True)]
            text = answered
        return segments

    def _tokenize(
        self, segments: list[Segment], *, has_image: bool
    ) -> tuple[list[int], list[bool]]:
        marker = self.image_token if self.style == "chat_template" else IMAGE
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
            add_special_tokens=self.style != "chat_template",
        )
        ids = encoded["input_ids"]
        image_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
        if ids.count(image_id) != (self.num_image_tokens if has_image else 0):
            raise DataError(
                f"a question or answer contains {self.image_token!r}, the image token: "
                f"{''.join(piece for piece, _ in segments)[:200]!r}"
            )
        answers = [
            any(a < end and start < b for start, end in spans) for a, b in encoded["offset_mapping"]
        ]
        return ids, answers
