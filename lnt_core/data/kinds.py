"""The three kinds of LLaVA's instructions: conversation, detailed description, reasoning.

Source:
    Liu et al., Visual Instruction Tuning, arXiv:2304.08485: 58k conversations, 23k detailed
    descriptions, 77k complex reasoning. Its mixed files do not say which sample is of which kind.
"""

from typing import Any

from lnt_core.config import Kind

FILES: dict[str, Kind] = {
    "conversation_": "conversation",
    "detail_": "detail",
    "complex_reasoning_": "reasoning",
}
"""How the files of one kind begin: ``conversation_58k.json`` and so on."""
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
"""The questions that detail_23k.json draws from, in lower case without the last mark."""


def of_kinds(
    content: list[dict[str, Any]], kinds: tuple[Kind, ...], file_name: str
) -> list[dict[str, Any]]:
    """The items of these kinds; all of them if ``kinds`` is empty.

    A file of one kind says so by its name. In any other, more than one question is a
    conversation, one of :data:`DETAIL_QUESTIONS` alone a detailed description, and any other
    question alone is reasoning.
    """
    if not kinds:
        return content
    named = [kind for start, kind in FILES.items() if file_name.startswith(start)]
    return [item for item in content if (named[0] if named else kind_of(item)) in kinds]


def kind_of(item: dict[str, Any]) -> Kind:
    """The kind of one item of LLaVA's layout, by its questions."""
    questions = [turn["value"] for turn in item["conversations"] if turn["from"] == "human"]
    if len(questions) != 1:
        return "conversation"
    question = questions[0].replace("<image>", "").strip().rstrip("?.'").strip().lower()
    return "detail" if question in DETAIL_QUESTIONS else "reasoning"
