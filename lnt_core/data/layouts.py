"""The published layouts of annotations, Karpathy's and LLaVA's: every entry is validated."""

from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict, TypeIs

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
    image: NotRequired[str | None]
    conversations: list[Turn]


KARPATHY = '{"images": [{"filename", "split", "sentences": [{"raw"}]}]}'
LLAVA = '[{"image", "conversations": [{"from", "value"}]}]'
_KARPATHY = TypeAdapter(KarpathyFile)
_LLAVA = TypeAdapter(list[LlavaItem])


def read_annotations(path: str) -> KarpathyFile | list[LlavaItem]:
    """The content of a file in one of the two layouts, without the keys that are not used.

    Raises:
        DataError: The file cannot be read, is not JSON, or has another layout; the message names
            the entries that differ.
    """
    content = read_json(path)
    if isinstance(content, dict) and content.get("images"):
        return validated(path, _KARPATHY, content, f"Karpathy's layout {KARPATHY}")
    if isinstance(content, list) and content:
        return validated(path, _LLAVA, content, f"LLaVA's layout {LLAVA}")
    raise DataError(
        f"{shown(path)} has neither of the known layouts: Karpathy's {KARPATHY} nor LLaVA's {LLAVA}"
    )


def is_karpathy(content: KarpathyFile | list[LlavaItem]) -> TypeIs[KarpathyFile]:
    """Whether this is Karpathy's layout; otherwise it is LLaVA's."""
    return isinstance(content, dict)


def read_json(path: str) -> Any:
    """The parsed content of a JSON file, in UTF-8 and at most 200 levels deep.

    Raises:
        DataError: It cannot be read or is not such a file.
    """
    try:
        return from_json(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{shown(path)} is not JSON: {error}") from error


def some(problems: list[str], separator: str = ", ") -> str:
    """The first ``MAX_NAMED`` of these, and how many more there are."""
    more = len(problems) - MAX_NAMED
    return separator.join(problems[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def validated(path: str, layout: TypeAdapter[T], content: Any, name: str) -> T:
    """The content of a file in a layout, without the keys that are not used.

    Raises:
        DataError: It has another layout; names the entries that differ.
    """
    try:
        return layout.validate_python(content)
    except ValidationError as error:
        problems = [_problem(dict(item)) for item in error.errors(include_url=False)]
        raise DataError(f"{shown(path)} is not in {name}: {some(problems, '; ')}") from None


def _problem(item: dict[str, Any]) -> str:
    """``images[3].filename is 5, but must be a string``."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
    place = place.removeprefix(".")
    if item["type"] == "missing":
        return f"{place} is missing"
    wanted = item["msg"].removeprefix("Input should be ")
    return f"{place} is {shown(repr(item['input'])[:1000])}, but must be {wanted}"
