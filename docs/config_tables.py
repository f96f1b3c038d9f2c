"""Markdown tables of pydantic configs: each field with its type, default and docstring."""

import ast
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

KINDS = {str: "text", int: "whole number", float: "number"}
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
Places = dict[type[BaseModel], list[str]]
"""The keys under which each config occurs, as ``data.tune``."""


def sections(top: type[BaseModel]) -> str:
    """A section for a config, then one for each config within it."""
    places: Places = {}
    for path, model in _models_below(top):
        places.setdefault(model, []).append(path)
    found = ["### Top level\n\n" + field_table(top, places)]
    for model, paths in places.items():
        parts = (f"### {_title(model, paths)}", first_paragraph(model), field_table(model, places))
        found.append("\n\n".join(parts))
    return "\n\n".join(found)


def field_table(model: type[BaseModel], places: Places | None = None) -> str:
    """The fields of a config: key, what it may be, default, meaning.

    Args:
        model: The config.
        places: Configs that have a section of their own, to link to.
    """
    docs = field_docs(model)
    rows = [
        (
            f"`{name}`",
            _value(field, places or {}),
            _default(field),
            docs.get(name) or _nested(field),
        )
        for name, field in model.model_fields.items()
        if not is_discriminator(name, field)
    ]
    return table(("key", "value", "default", "meaning"), rows)


def _nested(field: FieldInfo) -> str:
    """What the config in a field is."""
    return next((first_paragraph(model) for model in _models_in(field.annotation)), "")


def is_discriminator(name: str, field: FieldInfo) -> bool:
    """Whether the field only tells one config of a union from the others."""
    return name == "name" and typing.get_origin(field.annotation) is Literal


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, including the fields of base classes."""
    docs: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        (defined,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(defined, ast.ClassDef)
        for field, below in zip(defined.body, defined.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                assert isinstance(field.target, ast.Name)
                assert isinstance(below.value, ast.Constant)
                docs[field.target.id] = plain(str(below.value.value))
    return docs


def first_paragraph(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return plain((inspect.getdoc(thing) or "").partition("\n\n")[0])


def plain(text: str) -> str:
    """A docstring's text in one line, with Markdown's single backticks."""
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)


def _value(field: FieldInfo, places: Places) -> str:
    """What a value may be, with its limits; null is the default where there is none."""
    return _joined(_alternatives(field.annotation, field.metadata, places))


def _joined(alternatives: Iterator[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *most, last = dict.fromkeys(alternatives)
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(annotation: Any, metadata: Sequence[Any], places: Places) -> Iterator[str]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        own = [m for a in arguments[1:] for m in (a.metadata if isinstance(a, FieldInfo) else [a])]
        yield from _alternatives(arguments[0], [*own, *metadata], places)
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            if argument is not type(None):
                yield from _alternatives(argument, metadata, places)
    elif origin is Literal or annotation is bool:
        yield from (f"`{value}`" for value in arguments or ("true", "false"))
    elif origin is tuple:
        at_least = [m.min_length for m in metadata if isinstance(m, annotated_types.MinLen)]
        few = f", at least {at_least[0]}" if at_least else ""
        yield f"list of {_plural(_joined(_alternatives(arguments[0], [], places)))}{few}"
    elif origin is dict and arguments[1] is not Any:
        yield f"mapping to {_plural(_joined(_alternatives(arguments[1], [], places)))}"
    elif origin is dict:
        yield "mapping"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield _link(annotation, places[annotation]) if annotation in places else "mapping"
    else:
        kind = KINDS.get(annotation, "value")
        yield f"{kind} {limits}" if (limits := _limits(metadata)) else kind


def _plural(kind: str) -> str:
    return re.sub(r"^(whole number|number|mapping|value)\b", r"\1s", kind)


def _limits(metadata: Sequence[Any]) -> str:
    """``>= 1``, ``> 0 and < 1``, or a pattern."""
    found = [
        f"{sign} {_number(getattr(constraint, key))}"
        for constraint in metadata
        for key, sign in SIGNS.items()
        if getattr(constraint, key, None) is not None
    ]
    patterns = [m.pattern for m in metadata if getattr(m, "pattern", None)]
    return " and ".join(found) or "".join(f"that matches `{pattern}`" for pattern in patterns)


def _number(value: float) -> str:
    """A number as people write it: 1,048,576 rather than 1.04858e+06."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _title(model: type[BaseModel], paths: Sequence[str]) -> str:
    """The title of a config's section: its keys, and the tasks that it is for, if any."""
    places = ", ".join(f"`{path}`" for path in dict.fromkeys(paths))
    return f"{places}: {tasks}" if (tasks := _tasks(model)) else places


def _tasks(model: type[BaseModel]) -> str:
    task = model.model_fields.get("task")
    return "" if task is None else ", ".join(f"`{n}`" for n in typing.get_args(task.annotation))


def _link(model: type[BaseModel], paths: Sequence[str]) -> str:
    """A link to the section of a config, by GitHub's anchor of its title."""
    anchor = re.sub(r"[^\w\- ]", "", _title(model, paths)).replace(" ", "-").lower()
    return f"[{_tasks(model) or 'mapping'}](#{anchor})"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    if isinstance(value, str):
        value = value.replace("\n", "\\n")  # a line break would end the row
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _models_below(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every config within a config, with the path of its key."""
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            yield f"{path}{name}", inner
            yield from _models_below(inner, f"{path}{name}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
