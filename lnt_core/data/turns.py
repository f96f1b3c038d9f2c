"""Questions and answers of a conversation, whose turns may not alternate."""

from collections.abc import Sequence
from dataclasses import dataclass

from lnt_core.paths import shown

LEADING = "begins with an answer: that turn is left out, as in LLaVA"
LATE_SYSTEM = "has a system turn that is not the first, which is left out"
UNANSWERED = "ends with a question, which is left out"


@dataclass(frozen=True)
class Speakers:
    """How a layout says who speaks."""

    key: str
    """The key of a turn that has the speaker."""
    text: str
    """The key that has what is said."""
    asks: str
    answers: str


LLAVA = Speakers("from", "value", "human", "gpt")
"""LLaVA's and ShareGPT's."""
CHAT = Speakers("role", "content", "user", "assistant")
"""That of chat templates."""


@dataclass(frozen=True)
class Turns:
    """What can be learnt of a conversation."""

    turns: tuple[tuple[str, str], ...] = ()
    """Questions and answers in order; none if the conversation is unusable."""
    left_out: tuple[str, ...] = ()
    """Which turns are left out: ``LEADING``, ``LATE_SYSTEM``, ``UNANSWERED``."""
    unusable: str = ""
    """Why nothing can be learnt; empty if something can."""
    system: str = ""
    """What a system turn at the beginning says; empty if there is none."""


def turns_of(said: Sequence[tuple[str, str]], layout: Speakers = LLAVA) -> Turns:
    """The questions and answers of a conversation.

    LLaVA's code drops a leading gpt turn, ignores an unanswered question and refuses the rest; a
    system turn is that of chat templates.

    Args:
        said: Speakers, in the words of ``layout``, and what they say.
        layout: Its words.

    Source:
        Liu et al., Visual Instruction Tuning, arXiv:2304.08485; ``preprocess`` in its code.
    """
    said = [(speaker, text.strip()) for speaker, text in said]
    speakers = [speaker for speaker, _ in said]
    roles = (layout.asks, layout.answers)
    if unknown := [speaker for speaker in speakers if speaker not in (*roles, "system")]:
        got, allowed = shown(repr(unknown[0])), f"{layout.asks} or {layout.answers}"
        return Turns(unusable=f"`{layout.key}` is {got}, but must be {allowed}")
    system = said[0][1] if speakers[:1] == ["system"] else ""
    left_out = [LATE_SYSTEM] if "system" in speakers[1:] else []
    said = [turn for turn in said if turn[0] != "system"]
    if said and said[0][0] == layout.answers:
        said, left_out = said[1:], [*left_out, LEADING]
    if len(said) % 2:
        said, left_out = said[:-1], [*left_out, UNANSWERED]
    if [speaker for speaker, _ in said] != [*roles] * (len(said) // 2):
        return Turns(unusable=f"its turns do not alternate: {shown(', '.join(speakers))}")
    texts = [text for _, text in said]
    turns = tuple(zip(texts[::2], texts[1::2], strict=True))
    if not turns:
        return Turns(unusable="it has no question with an answer")
    if not all(answer for _, answer in turns):
        return Turns(unusable="an answer is blank")
    return Turns(turns, tuple(left_out), system=system)
