"""The published layouts of annotations, Karpathy's and LLaVA's: every entry is validated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lnt_core.errors import DataError
from lnt_core.paths import shown

T = TypeVar("T")
MAX_NAMED = 5
"""Maximum number of problems of one kind named in a message; the rest are only counted."""


class Sentence(TypedDict):
    """One caption in Karpathy's layout."""

    raw: str


class KarpathyImage(TypedDict):
    """One image with its captions in Karpathy's layout."""

    filename: str
    filepath: NotRequired[str]
    split: str
    sentences: list[Sentence]


class KarpathyFile(TypedDict):
    """A file in Karpathy's layout."""

    images: list[KarpathyImage]


Turn = TypedDict("Turn", {"from": str, "value": str})
"""What one side says in LLaVA's layout."""


class LlavaItem(TypedDict):
    """One conversation in LLaVA's layout."""

    id: NotRequired[Any]
    image: NotRequired[Any]
    conversations: list[Turn]


KARPATHY = '{"images": [{"filename", "split", "sentences": [{"raw"}]}]}'
LLAVA = '[{"image", "conversations": [{"from", "value"}]}]'
_KARPATHY = TypeAdapter(KarpathyFile)
_LLAVA = TypeAdapter(list[LlavaItem])


def karpathy(name: str, content: Any) -> KarpathyFile:
    """The content of a file in Karpathy's layout, without the keys that are not used.

    Args:
        name: The file, for messages.
        content: What it holds.

    Raises:
        DataError: It has another layout; the message names the entries that differ.
    """
    return validated(name, _KARPATHY, content, f"Karpathy's layout {KARPATHY}")


def llava(name: str, content: Any) -> list[LlavaItem]:
    """The content of a file in LLaVA's layout; see :func:`karpathy`."""
    return validated(name, _LLAVA, content, f"LLaVA's layout {LLAVA}")


def karpathy_images(
    content: KarpathyFile, splits: set[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The paths of the images of some splits, in order, each with its captions."""
    for item in content["images"]:
        if item["split"] in splits:
            path = str(Path(item.get("filepath", ""), item["filename"]))
            yield path, tuple(sentence["raw"].strip() for sentence in item["sentences"])


def some(problems: list[str], separator: str = ", ") -> str:
    """The first ``MAX_NAMED`` of these, and how many more there are."""
    more = len(problems) - MAX_NAMED
    return separator.join(problems[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def validated(file: str, layout: TypeAdapter[T], content: Any, name: str) -> T:
    """The content of a file in a layout, without the keys that are not used.

    Args:
        file: The file, for messages.
        layout: The layout.
        content: What the file holds.
        name: The layout, for messages.

    Raises:
        DataError: It has another layout; names the entries that differ.
    """
    try:
        return layout.validate_python(content)
    except ValidationError as error:
        problems = [_problem(dict(item)) for item in error.errors(include_url=False)]
        raise DataError(f"{file} is not in {name}: {some(problems, '; ')}") from None


def _problem(item: dict[str, Any]) -> str:
    """``images[3].filename is 5, but must be a string``."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
    place = place.removeprefix(".")
    if item["type"] == "missing":
        return f"{place} is missing"
    wanted = item["msg"].removeprefix("Input should be ")
    return f"{place} is {shown(repr(item['input'])[:1000])}, but must be {wanted}"
