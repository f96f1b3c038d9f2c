"""Loads a sweep file or a preset: YAML, presets it extends, overrides, paths, validation."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lnt_core.config import HUB
from lnt_core.errors import ConfigError, all_problems, bad_field
from lnt_core.paths import is_file, is_folder
from sweeps.config import SweepConfig
from sweeps.plan.checks import strategy_problems
from sweeps.validation import MAX_DEPTH, load_yaml, validation_problems

PRESETS = Path(__file__).parents[1] / "presets"
PATHS = ("annotations", "images", "questions")
"""Keys of a data set's config whose values are paths."""


def load_sweep(source: str, overrides: tuple[str, ...] = ()) -> SweepConfig:
    """Load a sweep file or a preset.

    A file with ``extends: PRESET`` inherits every key of the preset that it does not give itself.

    Args:
        source: Path of a sweep file, or name of a preset.
        overrides: ``key.path=value``, each replacing one value.

    Raises:
        ConfigError: Lists every problem of the file.
    """
    path = sweep_path(source)
    content = _extended(load_yaml(path))
    for override in overrides:
        _override(content, override)
    base = Path.cwd() if path.parent == PRESETS else path.parent
    content = _absolute_paths(content, base.resolve())
    problems = strategy_problems(content)
    try:
        sweep = SweepConfig.model_validate(content)
    except ValidationError as error:
        raise all_problems(source, [*validation_problems(error, SweepConfig), *problems]) from None
    if problems:
        raise all_problems(source, problems)
    return sweep


def sweep_path(source: str) -> Path:
    """The path of a sweep file, given by path or by the name of a preset."""
    if is_file(source):
        return Path(source)
    presets = preset_names()
    if source in presets:
        return PRESETS / f"{source}.yaml"
    raise ConfigError(bad_field("SWEEP", source, allowed=["a file", *presets]))


def preset_names() -> list[str]:
    """The names of the sweep files in this package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def _extended(content: dict[str, Any]) -> dict[str, Any]:
    """The content merged, key by key, into the preset that ``extends`` names."""
    if "extends" not in content:
        return content
    preset, presets = content["extends"], preset_names()
    if preset not in presets:
        raise ConfigError(bad_field("extends", preset, allowed=presets))
    below = _extended(load_yaml(PRESETS / f"{preset}.yaml"))
    return _merged(below, {k: v for k, v in content.items() if k != "extends"})


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return below | above | both


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(bad_field("--set", override, allowed="key.path=value"))
    *parents, last = key.split(".")
    if len(parents) >= MAX_DEPTH:
        raise ConfigError(bad_field("--set", override, allowed=f"at most {MAX_DEPTH} keys deep"))
    for parent in parents:
        below = content.setdefault(parent, {})
        if not isinstance(below, dict):
            content[parent] = below = {}
        content = below
    content[last] = load_yaml(value)


def _absolute_paths(content: Any, base: Path) -> Any:
    """The content of a sweep file with absolute paths; relative ones are relative to ``base``."""
    if not isinstance(content, dict):
        return content
    content = {**content}
    data, model = content.get("data"), content.get("model")
    if isinstance(data, dict):
        content["data"] = {
            k: [_anchor(part, PATHS, base) for part in v]
            if isinstance(v, list)
            else _anchor(v, PATHS, base)
            for k, v in data.items()
        }
    if isinstance(model, dict):
        content["model"] = _anchor_model(model, base)
    search = content.get("search")
    if isinstance(search, dict) and isinstance(search.get("values"), dict):
        values = {k: _anchor_values(k, v, base) for k, v in search["values"].items()}
        content["search"] = {**search, "values": values}
    return content


def local_paths(content: Any) -> list[tuple[str, str]]:
    """The key and value of every data path in the content of a sweep file, as written there."""
    data, model = content.get("data"), content.get("model")
    places = {f"data.{k}": v for k, v in data.items()} if isinstance(data, dict) else {}
    reported = places.get("data.report")
    if isinstance(reported, list):
        places |= {f"data.report[{number}]": task for number, task in enumerate(reported)}
    tiny = model.get("tiny") if isinstance(model, dict) else None
    if isinstance(tiny, dict):
        places |= {"model.tiny": tiny, "model.tiny.pairs": tiny.get("pairs")}
    return [
        (f"{place}.{key}", value)
        for place, values in places.items()
        for key, value in (values.items() if isinstance(values, dict) else ())
        if key in (*PATHS, "text") and _is_path(value)
    ]


def anchored_tasks(content: Any, base: Path) -> Any:
    """The content of a file of tasks, with paths relative to ``base`` made absolute."""
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
        return content
    return {**content, "tasks": [_anchor(task, PATHS, base) for task in content["tasks"]]}


def _anchor_values(key: Any, values: Any, base: Path) -> Any:
    name = str(key).rpartition(".")[2]
    if not isinstance(values, list):
        return values
    return [_anchor({name: value}, PATHS, base)[name] for value in values]


def _anchor_model(model: dict[str, Any], base: Path) -> dict[str, Any]:
    model = {**model}
    for key in ("language_model", "vision_tower", "checkpoint"):
        if isinstance(model.get(key), str) and is_folder(base / model[key]):
            model[key] = str(base / model[key])  # anything else is a Hub name
    if isinstance(model.get("tiny"), dict):
        tiny = _anchor(model["tiny"], ("text",), base)
        model["tiny"] = {k: _anchor(v, PATHS, base) for k, v in tiny.items()}
    return model


def _anchor(values: Any, keys: tuple[str, ...], base: Path) -> Any:
    if not isinstance(values, dict):
        return values
    return {
        k: str(base / _expanded(v)) if k in keys and _is_path(v) else v for k, v in values.items()
    }


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(HUB)


def _expanded(path: str) -> Path:
    """The path with `~` replaced; left as it is if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
