"""Questions and answers of a conversation in LLaVA's layout, whose turns may not alternate."""

from dataclasses import dataclass

from lnt_core.data.layouts import LlavaItem
from lnt_core.paths import shown

ROLES = ("human", "gpt", "system")
LEADING = "begins with gpt: that turn is left out, as in LLaVA"
SYSTEM = "has a system turn, which is left out"
UNANSWERED = "ends with a question, which is left out"


@dataclass(frozen=True)
class Turns:
    """What can be learnt of a conversation."""

    turns: tuple[tuple[str, str], ...] = ()
    """Questions and answers in order; none if the conversation is unusable."""
    left_out: tuple[str, ...] = ()
    """Which turns are left out: ``LEADING``, ``SYSTEM``, ``UNANSWERED``."""
    unusable: str = ""
    """Why nothing can be learnt; empty if something can."""


def turns_of(item: LlavaItem) -> Turns:
    """The questions and answers of a conversation.

    LLaVA's code drops a leading gpt turn, ignores an unanswered question and refuses the rest.

    Source:
        Liu et al., Visual Instruction Tuning, arXiv:2304.08485; ``preprocess`` in its code.
    """
    said = [(turn["from"], turn["value"].strip()) for turn in item["conversations"]]
    speakers = [speaker for speaker, _ in said]
    if unknown := [speaker for speaker in speakers if speaker not in ROLES]:
        return Turns(unusable=f"`from` is {shown(repr(unknown[0]))}, but must be human or gpt")
    left_out = [SYSTEM] if "system" in speakers else []
    said = [turn for turn in said if turn[0] != "system"]
    if said and said[0][0] == "gpt":
        said, left_out = said[1:], [*left_out, LEADING]
    if len(said) % 2:
        said, left_out = said[:-1], [*left_out, UNANSWERED]
    if [speaker for speaker, _ in said] != ["human", "gpt"] * (len(said) // 2):
        return Turns(unusable=f"its turns do not alternate: {shown(', '.join(speakers))}")
    texts = [text for _, text in said]
    turns = tuple(zip(texts[::2], texts[1::2], strict=True))
    if not turns:
        return Turns(unusable="it has no question with an answer")
    if not all(answer for _, answer in turns):
        return Turns(unusable="an answer is blank")
    return Turns(turns, tuple(left_out))
