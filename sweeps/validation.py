"""Strict YAML parsing, and readable messages for pydantic's validation errors."""

import datetime
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lnt_core.errors import ConfigError, nearest

MERGE = "tag:yaml.org,2002:merge"


MEMBERS = {"bool", "paper", "list", "range", "number", "auto"}
"""Types and tags of union members: part of pydantic's error locations, but not of any file."""


class _Loader(yaml.SafeLoader):
    """YAML with the floats of YAML 1.2 (``1e-4``) and dates as text; duplicate keys are errors."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != MERGE]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise yaml.constructor.ConstructorError(
            None, None, f"key {twice[0]!r} is given twice", node.start_mark
        )
    return loader.construct_mapping(node, deep=True)


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_text)


def load_yaml(source: Path | str) -> Any:
    """Parse a YAML file, which must be a mapping, or a string of YAML.

    Raises:
        ConfigError: The YAML is invalid, or the file is not a mapping.
    """
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        content = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None
    if isinstance(source, Path) and not isinstance(content, dict):
        raise ConfigError(f"{source} must be a mapping of keys to values")
    return content


def validation_problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line per error: the key's path, its value, what is allowed, the nearest valid name."""
    return [_problem(dict(item), model) for item in error.errors()]


def _problem(item: dict[str, Any], model: type[BaseModel]) -> str:
    path = _path(item["loc"], model)
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
    shown = item["ctx"].get("tag", got) if kind == "union_tag_invalid" else got
    return f"{path} is {_short(shown)}, but {message}" + (f"; {hint}" if hint else "")


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
        elif named := [m for m in current if m.__name__ == part]:
            current = named
    return {name for m in current for name in m.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [m for argument in typing.get_args(annotation) for m in _models_in(argument)]
    return []
