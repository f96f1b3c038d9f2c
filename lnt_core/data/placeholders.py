"""The placeholders of images in questions: as many as there are images, each in its place."""

import re

from lnt_core.errors import DataError

IMAGE = "<image>"
"""Placeholder of an image in a question, as in LLaVA's files."""
_LEADING = re.compile(rf"(\s*{IMAGE})+\s*")


def with_images(
    turns: tuple[tuple[str, str], ...], num_images: int, *, image_first: bool
) -> tuple[tuple[str, str], ...]:
    r"""The turns with one placeholder for each image.

    A question without any gets all of them at its beginning, if no other question has one. Those at
    the beginning of a question stand on lines of their own, as in LLaVA.

    Args:
        turns: Questions and answers.
        num_images: Number of images of the conversation.
        image_first: Whether the placeholder of a single image is moved to the beginning of its
            question, as LLaVA's code does.

    Raises:
        DataError: There are more or fewer placeholders than images, or an answer has one.

    Example:
        >>> with_images((("What is <image>?", "A"), ("Q", "B")), 1, image_first=False)
        (('What is <image>?', 'A'), ('Q', 'B'))
        >>> with_images((("What?\n<image>", "A"),), 1, image_first=True)
        (('<image>\nWhat?', 'A'),)
        >>> with_images((("Which is older?", "A"),), 2, image_first=False)
        (('<image>\n<image>\nWhich is older?', 'A'),)
    """
    if any(IMAGE in answer for _, answer in turns):
        raise DataError(f"an answer contains {IMAGE!r}, the placeholder of an image")
    found = sum(question.count(IMAGE) for question, _ in turns)
    if turns and not found:
        (first, answer), *later = turns
        turns = ((IMAGE * num_images + first, answer), *later)
    elif found != num_images:
        images = f"{num_images} image" + ("s" if num_images != 1 else "")
        raise DataError(f"its questions have {found} {IMAGE!r}, but it has {images}")
    move = image_first and num_images == 1
    return tuple((_placed(question, move=move), answer) for question, answer in turns)


def _placed(question: str, *, move: bool) -> str:
    if move and IMAGE in question:
        question = f"{IMAGE}{question.replace(IMAGE, '')}"
    leading = _LEADING.match(question)
    if leading is None:
        return question.strip()
    return f"{IMAGE}\n" * leading[0].count(IMAGE) + question[leading.end() :].strip()
