"""Finds the answers in the text that a model's own chat template makes.

Each answer is put between two characters of Unicode's private use area, the conversation is
rendered once, and the characters are taken out again. So earlier turns may be rewritten.
"""

import itertools
import logging
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lnt_core.data.samples import IMAGE
from lnt_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
OPEN, CLOSE = "\ue000", "\ue001"
UNSTABLE = {
    ("strftime_now", "("): "the date of today (`strftime_now`)",
    ("|", "random"): "something drawn at random (`random`)",
    ("lipsum", "("): "text drawn at random (`lipsum`)",
}
"""Two tokens of a template's code that make its text differ, and what they write."""
_ANSWER = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)

Segment = tuple[str, bool]
"""A piece of text, and whether it is learnt: an answer with the end token after it."""


class ChatTemplate:
    """The chat template of a tokenizer, or of a vision-language model's processor.

    Args:
        tokenizer: The model's tokenizer.
        processor: A processor with a template of its own, whose messages have images as parts;
            None for a language model, whose messages are text.
        image_token: Stands for an image in the text.

    Raises:
        ConfigError: The template writes something else each day, or each time.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", processor: Any, image_token: str
    ) -> None:
        self._owner = tokenizer if processor is None else processor
        self._in_parts = processor is not None
        self._image_token = image_token
        self._tokenizer = tokenizer
        special = {
            *tokenizer.all_special_tokens,
            *map(str, tokenizer.added_tokens_decoder.values()),
        }
        _refuse_unstable(self._owner.chat_template)
        names = sorted(special - {image_token}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)))
        own_end = self._own_end()
        self.end = own_end or str(tokenizer.eos_token)
        """The token after an answer, with which a model learns to stop."""
        self.adds_end = own_end is None
        """Whether that token is added, because the template has none after an answer."""
        if self.adds_end:
            logger.warning(
                "the model's chat template has no end token after an answer: %s is added, so that "
                "a model can learn to stop",
                self.end,
            )

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer adds its own first token; transformers' processors do the same."""
        first = self._tokenizer.bos_token
        return not (first and text.startswith(str(first)))

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template writes what a system turn says: some ignore or refuse it."""
        import jinja2

        try:
            return OPEN in self._render([("Q", "A")], system=OPEN)
        except jinja2.TemplateError:
            return False

    def segments(self, turns: Sequence[tuple[str, str]], system: str = "") -> list[Segment]:
        """The text of a conversation, with a system turn before it unless that is empty.

        Raises:
            ConfigError: The template changes answers, or does not end each of them.
            DataError: A text has the characters that mark answers.
        """
        return self._segments(turns, system=system)

    def prompt(self, turns: Sequence[tuple[str, str]], question: str) -> list[Segment]:
        """The text of a conversation up to where the model answers ``question``."""
        *earlier, (asked, _) = self._segments(turns, question)
        return [*earlier, (asked.rstrip(" "), False)]

    def _segments(
        self, turns: Sequence[tuple[str, str]], question: str | None = None, system: str = ""
    ) -> list[Segment]:
        texts = [system, *(text for turn in turns for text in turn)]
        if any(mark in text for text in texts for mark in (OPEN, CLOSE)):
            raise DataError(f"a text has a character of private use, {OPEN!r} or {CLOSE!r}")
        marked = self._render([(q, f"{OPEN}{a}{CLOSE}") for q, a in turns], question, system)
        found = list(_ANSWER.finditer(marked))
        unmarked = marked.replace(OPEN, "").replace(CLOSE, "")
        if unmarked != self._render(turns, question, system) or len(found) != len(turns):
            raise ConfigError(
                "model.conversation is 'chat_template', but the model's template changes the "
                "answers, so that they cannot be located in the text; choose 'vicuna_v1' or 'plain'"
            )
        segments: list[Segment] = []
        position = 0
        for match, following in itertools.zip_longest(found, found[1:]):
            before = marked[position : match.start()]
            asked = before.rstrip(" ")  # a space and the word after it are one token
            until = len(marked) if following is None else following.start()
            position = self._after_end(marked, match.end(), until)
            end = self.end if self.adds_end else marked[match.end() : position]
            segments += [(asked, False), (f"{before[len(asked) :]}{match[1]}{end}", True)]
        return [*segments, (marked[position:], False)]

    def _after_end(self, text: str, start: int, until: int) -> int:
        """The position after the end token that follows an answer."""
        if self.adds_end:
            return start
        found = text.find(self.end, start, until)
        if found < 0:
            raise ConfigError(
                f"model.conversation is 'chat_template', but the model's template writes "
                f"{self.end} after the last answer only; choose 'vicuna_v1' or 'plain'"
            )
        return found + len(self.end)

    def _own_end(self) -> str | None:
        """The first special token that the template writes after the last answer, if any."""
        marked = self._render([("Q", f"{OPEN}A{CLOSE}")])
        found = self._special.search(marked, marked.index(CLOSE))
        return found[0] if found else None

    def _render(
        self, turns: Sequence[tuple[str, str]], question: str | None = None, system: str = ""
    ) -> str:
        """The text of turns, and of a question that is to be answered if there is one."""
        said = [text for turn in turns for text in turn] + ([] if question is None else [question])
        messages = [
            {"role": role, "content": self._content(text)}
            for role, text in zip(itertools.cycle(("user", "assistant")), said, strict=False)
        ]
        if system:
            messages.insert(0, {"role": "system", "content": self._content(system)})
        apply: Callable[..., Any] = self._owner.apply_chat_template
        asked = question is not None
        return str(apply(messages, tokenize=False, add_generation_prompt=asked))

    def _content(self, text: str) -> str | list[dict[str, str]]:
        if not self._in_parts:
            return text.replace(IMAGE, self._image_token)
        first, *others = re.split(f"{IMAGE}\n?", text.strip())
        parts = [{"type": "text", "text": first}]
        for piece in others:
            parts += [{"type": "image"}, {"type": "text", "text": piece}]
        return [part for part in parts if part.get("text") != ""]


def _refuse_unstable(template: str | dict[str, str]) -> None:
    """Raise an error if a conversation would have another text tomorrow."""
    import jinja2

    source = template if isinstance(template, str) else template.get("default", "")
    code = [
        value for _, kind, value in jinja2.Environment().lex(source) if kind in ("name", "operator")
    ]
    for pair in itertools.pairwise(code):
        if pair in UNSTABLE:
            raise ConfigError(
                "model.conversation is 'chat_template', but the model's template writes "
                f"{UNSTABLE[pair]} into conversations: prompts, and so scores, would differ from "
                "one day or run to the next; choose 'vicuna_v1', 'llava_llama_2' or 'plain', or "
                "fix that text in a copy of the model's chat_template"
            )
