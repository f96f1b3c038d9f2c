"""What one row of a table says: a conversation, or a question with one or more answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lnt_core.config import CAPTION_PROMPT, ColumnsConfig
from lnt_core.data.image_files import Image
from lnt_core.data.placeholders import IMAGE
from lnt_core.data.turns import CHAT, LLAVA, Speakers, turns_of
from lnt_core.errors import DataError
from lnt_core.paths import shown

OTHER_MEDIA = ("videos", "video", "audios", "audio")
"""Columns of what cannot be learnt."""
_SOURCES = ("image", "path", "url", "image_url")
"""Keys of a part of a message under which its image may be."""


@dataclass(frozen=True)
class Entry:
    """The samples of one row, which all have the same images."""

    images: tuple[Image, ...]
    conversations: tuple[tuple[tuple[str, str], ...], ...]
    """For each sample its questions and answers."""
    left_out: tuple[str, ...] = ()
    """Which turns are left out; see :mod:`lnt_core.data.turns`."""
    image_first: bool = False
    """Whether the layout moves a single image to the beginning of its question, as LLaVA's does."""
    system: str = ""
    """What a system turn at the beginning says."""


def entry_of(values: Mapping[str, Any], columns: ColumnsConfig) -> Entry:
    """What a row says.

    Args:
        values: The row.
        columns: The columns that the table has.

    Raises:
        DataError: Nothing can be learnt of it; the message says why.
    """
    images = images_of(values.get(columns.images)) if columns.images else ()
    if columns.messages is not None:
        return _conversation(values, columns.messages, images)
    question = CAPTION_PROMPT if columns.question is None else values.get(columns.question)
    if not isinstance(question, str):
        raise DataError(f"its {columns.question} is {_got(question)}, but must be a text")
    assert columns.answer is not None  # chosen_columns has found one or the other
    answers = texts_of(values, columns.answer)
    if not answers:
        raise DataError("it has no answer")
    asked = question.strip()
    return Entry(images, tuple(((asked, answer),) for answer in answers))


def texts_of(values: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """The texts in a column that holds a text or a list of texts, without blanks around them.

    Raises:
        DataError: It holds something else.
    """
    value = values.get(column)
    texts: list[Any] = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise DataError(f"its {column} is {_got(text)}, but must be a text, or a list of texts")
    return tuple(text.strip() for text in texts)


def images_of(value: Any) -> tuple[Image, ...]:
    """The images in a column, or in a part of a message.

    Raises:
        DataError: Something is neither a path nor the content of a file.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, list):
        return tuple(image for item in value for image in images_of(item) or _refused(item))
    if isinstance(value, dict):
        stored = value.get("bytes")
        found = stored if stored is not None else value.get("path") or value.get("url")
        return images_of(found) if isinstance(found, str | bytes) and found else _refused(value)
    if isinstance(value, bytes):
        return (value,)
    return (_path(value),) if isinstance(value, str) else _refused(value)


def _path(text: str) -> str:
    scheme, separator, path = text.partition("://")
    if separator and scheme == "file":
        return path
    if separator or text.startswith("data:"):
        raise DataError(
            f"its image is {_got(text)}: only images in files, or in a table of `datasets`, are "
            "read; save it and give its path"
        )
    return text


def _refused(value: Any) -> tuple[Image, ...]:
    raise DataError(f"its image is {_got(value)}, but must be a path or an image")


def _conversation(values: Mapping[str, Any], column: str, images: tuple[Image, ...]) -> Entry:
    if media := [name for name in OTHER_MEDIA if values.get(name)]:
        raise DataError(f"it has {' and '.join(media)}, which cannot be learnt")
    messages = values.get(column)
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise DataError(f"its {column} is {_got(messages)}, but must be a list of messages")
    layout = LLAVA if any("from" in message for message in messages) else CHAT
    said: list[tuple[str, str]] = []
    own: list[Image] = []
    for message in messages:
        text, shown_here = _said(message.get(layout.text))
        said.append((_speaker(message, layout), text))
        own += shown_here
    if own and images:
        raise DataError("it has images both in its messages and in a column of their own")
    images = (*own, *images)
    read = turns_of(said, layout)
    if read.unusable:
        raise DataError(read.unusable)
    if IMAGE in read.system:
        raise DataError(f"its system turn contains {IMAGE!r}, the placeholder of an image")
    return Entry(images, (read.turns,), read.left_out, layout is LLAVA, read.system)


def _speaker(message: Mapping[str, Any], layout: Speakers) -> str:
    speaker = message.get(layout.key)
    if not isinstance(speaker, str):
        raise DataError(f"`{layout.key}` of a message is {_got(speaker)}, but must be a text")
    return speaker


def _said(content: Any) -> tuple[str, tuple[Image, ...]]:
    """The text of a message, with placeholders, and the images that it has in itself."""
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise DataError(f"a message says {_got(content)}, but must say a text or a list of parts")
    texts: list[str] = []
    images: list[Image] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image", "image_url"):
            texts.append(IMAGE)
            images += next((images_of(part[key]) for key in _SOURCES if part.get(key)), ())
        else:
            raise DataError(f"a part of a message is {_got(part)}, but must be text or image")
    return "".join(texts), tuple(images)


def _got(value: Any) -> str:
    return shown(repr(value)[:1000])
