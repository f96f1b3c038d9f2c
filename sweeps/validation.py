"""Strict YAML parsing, checks of what commands are given, and messages for pydantic's errors."""

import datetime
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lnt_core.config import AnyTaskConfig
from lnt_core.errors import ConfigError, nearest
from lnt_core.paths import shown, why_not_writable

MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
TASKS = {
    task
    for member in typing.get_args(AnyTaskConfig)
    for task in typing.get_args(member.model_fields["task"].annotation)
}
MEMBERS = {"bool", "paper", "list", "range", "number", "auto"} | TASKS
"""Types and tags of union members: part of pydantic's error locations, but not of any file."""
MAX_BYTES = 2**20
"""Maximum size of a YAML file. The presets have less than 2 KiB; thousands of values fit."""
MAX_DEPTH = 30
"""Maximum depth of nesting. A sweep file needs 5 levels, a DeepSpeed config in it a few more."""
MAX_NODES = 200_000
"""Maximum number of keys and values, references (`*name`) replaced by what they name."""
MAX_PROBLEMS = 100
"""Maximum number of problems of one file that are listed; the rest are only counted."""


class _Loader(yaml.SafeLoader):
    """YAML with the floats of YAML 1.2 (``1e-4``) and dates as text; keys are text, and unique."""

    def get_single_node(self) -> yaml.Node | None:
        """The root of the document, of limited size once references are replaced."""
        node = super().get_single_node()
        if node is not None:
            _check_size(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; what cannot be converted is an error at its place."""
        try:
            value = super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _problem_at(node, f"a value that cannot be read as {kind} ({error})") from None
        if isinstance(value, str) and not _is_storable(value):
            raise _problem_at(node, "text with a NUL or half of a surrogate pair")
        return value


def _check_size(root: yaml.Node) -> None:
    """Raise an error for a document that is too deep, too large, or contains itself.

    Nodes that several references name are counted once and multiplied, so that a file of a few
    lines that stands for billions of values is refused in no time.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _problem_at(node, f"nesting deeper than {MAX_DEPTH} levels")
        if id(node) not in sizes:
            below = [
                size(child, depth + 1)
                for entry in (node.value if isinstance(node, yaml.CollectionNode) else ())
                for child in (entry if isinstance(entry, tuple) else (entry,))
            ]
            sizes[id(node)] = 1 + sum(below)
        if sizes[id(node)] > MAX_NODES:
            raise _problem_at(node, f"more than {MAX_NODES} keys and values")
        return sizes[id(node)]

    size(root, 1)


def _problem_at(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, f"found {problem}", node.start_mark)


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _problem_at(node, "something else than a mapping")
    known: set[str] = set()
    for key, _ in node.value:
        if key.tag == MERGE:
            continue
        if key.tag != TEXT:
            given = key.value if isinstance(key, yaml.ScalarNode) else key.id
            raise _problem_at(key, f"the key {given}, which is not text: put it in quotes")
        if key.value in known:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key.value!r} is given twice", node.start_mark
            )
        known.add(key.value)
    return loader.construct_mapping(node, deep=True)


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_text)
for unused in ("binary", "omap", "pairs", "set"):
    del _Loader.yaml_constructors[f"tag:yaml.org,2002:{unused}"]


def load_yaml(source: Path | str) -> Any:
    """Parse a YAML file, which must be a mapping, or a string of YAML.

    Raises:
        ConfigError: The file cannot be read or is too large, the YAML is invalid, or the file is
            not a mapping.
    """
    text = _read(source) if isinstance(source, Path) else source
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown(source)} is not valid YAML: {error}") from None
    except RecursionError:  # while the text is parsed, before its size is checked
        raise ConfigError(
            f"{shown(source)} is not valid YAML: found nesting deeper than {MAX_DEPTH} levels"
        ) from None
    if isinstance(source, Path) and not isinstance(content, dict):
        raise ConfigError(f"{source} must be a mapping of keys to values")
    return content


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes, the limit of a YAML file")
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None


def check_output(folder: Path) -> None:
    """Check that files can be written in the folder of `-o`, before the work whose result they are.

    Raises:
        ConfigError: They cannot; the message says why.
    """
    if reason := why_not_writable(folder):
        raise _no_output(folder, reason)


def create_output(folder: Path) -> None:
    """Create the folder of `-o`, if it does not exist.

    Raises:
        ConfigError: It cannot be created; the message says why.
    """
    check_output(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_output(folder, str(error.strerror)) from error


def _no_output(folder: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"-o is {shown(folder)!r}, where nothing can be written: {reason}; choose another place"
    )


def validation_problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line per error: the key's path, its value, what is allowed, the nearest valid name."""
    found = error.errors(include_url=False)
    more = len(found) - MAX_PROBLEMS
    problems = [_problem(dict(item), model) for item in found[:MAX_PROBLEMS]]
    return problems + ([f"and {more} more"] if more > 0 else [])


def _problem(item: dict[str, Any], model: type[BaseModel]) -> str:
    path = shown(_path(item["loc"], model))
    kind, got = item["type"], item["input"]
    if kind == "extra_forbidden":
        known = _keys_at(item["loc"][:-1], model)
        hint = nearest(item["loc"][-1], known) or f"known here: {', '.join(sorted(known))}"
        return f"{path} is not a known key; {hint}"
    if kind == "missing":
        return f"{path} is missing: it has no default"
    if kind == "value_error":
        message = str(item["ctx"]["error"])
        return f"{path}: {message}" if path else message
    message = re.sub(r"^(Input|String|Tuple|List) ", "", item["msg"]).replace(
        " after validation", ""
    )
    hint = ""
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = re.findall(
            r"'([^']+)'", str(item["ctx"].get("expected", item["ctx"].get("expected_tags")))
        )
        hint = nearest(got if isinstance(got, str) else item["ctx"].get("tag"), allowed)
        message = "must be one of " + ", ".join(map(repr, allowed))
    given = item["ctx"].get("tag", got) if kind == "union_tag_invalid" else got
    if kind.startswith("union_tag") and item["ctx"]["discriminator"] == "'task'":
        path += ".task"
    return f"{path} is {_short(given)}, but {message}" + (f"; {hint}" if hint else "")


def _short(value: object) -> str:
    if isinstance(value, datetime.date):
        return str(value)
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _path(loc: Iterable[int | str], model: type[BaseModel]) -> str:
    """A location as ``search.learning_rate[3]``, without pydantic's names of union members."""
    text = ""
    current: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        known = [m for m in current if part in m.model_fields]
        if not known and _is_union_member(part):
            continue
        text += f".{part}" if text else str(part)
        current = [t for m in known for t in _models_in(m.model_fields[str(part)].annotation)]
    return text


def _is_union_member(part: int | str) -> bool:
    """Whether this part of a location is the class, type or tag of a union member."""
    text = str(part)
    return text[:1].isupper() or "[" in text or text in MEMBERS


def _keys_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    current: list[type[BaseModel]] = [model]
    for part in loc:
        known = [m for m in current if part in m.model_fields]
        if known:
            current = [t for m in known for t in _models_in(m.model_fields[str(part)].annotation)]
        elif named := [m for m in current if m.__name__ == part or part in _tags(m)]:
            current = named
    return {name for m in current for name in m.model_fields}


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """The names by which a config is told from the others of its union."""
    known = (model.model_fields.get(name) for name in ("task", "name"))
    literals = (typing.get_args(field.annotation) for field in known if field is not None)
    return tuple(text for texts in literals for text in texts if isinstance(text, str))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [m for argument in typing.get_args(annotation) for m in _models_in(argument)]
    return []
