"""The three kinds of LLaVA's instructions: conversation, detailed description, reasoning.

Source:
    Liu et al., Visual Instruction Tuning, arXiv:2304.08485: 58k conversations, 23k detailed
    descriptions, 77k complex reasoning. Its mixed files do not say which sample is of which kind.
"""

from lnt_core.config import Kind
from lnt_core.data.layouts import LlavaItem

FILES: dict[str, Kind] = {
    "conversation_": "conversation",
    "detail_": "detail",
    "complex_reasoning_": "reasoning",
}
"""Kinds by prefix of the file name, as in ``conversation_58k.json``."""
DETAIL_QUESTIONS = frozenset(
    {
        "analyze the image in a comprehensive and detailed manner",
        "can you describe the main features of this image for me",
        "can you elaborate on the elements of the picture provided",
        "describe the following image",
        "explain the visual content of the image in great detail",
        "what are the key elements in this picture",
        "what do you see happening in this image",
        "what do you think is going on in this snapshot",
        "what is this photo about",
        "what's happening in the scene",
        "write a detailed description of the given image",
    }
)
"""The questions in detail_23k.json, in lower case without final punctuation."""


def of_kinds(content: list[LlavaItem], kinds: tuple[Kind, ...], file_name: str) -> list[LlavaItem]:
    """The items of these kinds; all of them if ``kinds`` is empty.

    If the file's name starts with a prefix in :data:`FILES`, every item is of that kind. Otherwise
    :func:`kind_of` determines the kind of each item.
    """
    if not kinds:
        return content
    named = [kind for start, kind in FILES.items() if file_name.startswith(start)]
    return [item for item in content if (named[0] if named else kind_of(item)) in kinds]


def kind_of(item: LlavaItem) -> Kind:
    """The kind of one item of LLaVA's layout, by its questions.

    An item with several questions is a conversation; one with a single question is a detailed
    description if the question is in :data:`DETAIL_QUESTIONS`, else reasoning.
    """
    questions = [turn["value"] for turn in item["conversations"] if turn["from"] == "human"]
    if len(questions) != 1:
        return "conversation"
    question = questions[0].replace("<image>", "").strip().rstrip("?.'").strip().lower()
    return "detail" if question in DETAIL_QUESTIONS else "reasoning"
