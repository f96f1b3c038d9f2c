"""Writes the generated parts of README.md and docs/*.md: ``python docs/generate.py``.

A generated part is the text between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``, where
NAME is a key of :data:`PARTS`. It comes from the code: configs and their field docstrings, the
registry of strategies, the tables of metrics and tags, the commands, the packages' imports.
tests/test_docs.py fails while a page differs from what this script would write.
"""

import argparse
import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from config_tables import field_table, first_paragraph, is_discriminator, plain, sections, table

from lnt_core.metrics import METRICS
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, StrategyConfig
from sweeps.cli.main import COMMANDS
from sweeps.config import SweepConfig
from sweeps.results.tags import TAGS

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def main() -> None:
    """Rewrite every page."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        path.write_text(rewritten(page), encoding="utf-8")


def rewritten(page: str) -> str:
    """The page with its generated parts as they should be."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}", page)


def sweep_file() -> str:
    """The keys of a sweep file."""
    return sections(SweepConfig)


def strategy_options() -> str:
    """The options of each strategy."""
    configs: tuple[type[StrategyConfig], ...] = get_args(get_args(AnyStrategyConfig)[0])
    found = []
    for config in configs:
        name = str(config.model_fields["name"].default)
        strategy = STRATEGIES[name]
        text = f"{first_paragraph(strategy)} Source: {strategy.source}."
        part = f"### `{name}`\n\n{text}\n\n{first_paragraph(config)}"
        if not all(is_discriminator(key, field) for key, field in config.model_fields.items()):
            part += f"\n\n{field_table(config)}"
        found.append(part)
    return "\n\n".join(found)


def metrics() -> str:
    """The metrics of a trial."""
    rows = [(f"`{m.name}`", m.unit, m.meaning) for m in METRICS.values()]
    return table(("metric", "unit", "meaning"), rows)


def tags() -> str:
    """The tags of runs."""
    rows = [(f"`{t.name}`", t.runs, t.meaning) for t in TAGS.values()]
    return table(("tag", "runs", "meaning"), rows)


def commands() -> str:
    """Each command in one line."""
    rows = [(f"`lnt {name}`", _sentence(text)) for name, (_, text) in COMMANDS.items()]
    return table(("command", "what it does"), rows)


def command_arguments() -> str:
    """Each command with its arguments."""
    found = []
    for name, (module, text) in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"lnt {name}")
        importlib.import_module(module).add_arguments(parser, name)
        found.append(f"## `lnt {name}`\n\n{_sentence(text)}\n\n{_arguments(parser)}")
    return "\n\n".join(found)


def _arguments(parser: argparse.ArgumentParser) -> str:
    """A table, or one for each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return "\n\n".join(
                f"`{inner.prog}`: {helps[name]}.\n\n{_arguments(inner)}"
                for name, inner in action.choices.items()
            )
    rows = [
        (f"`{_argument(action)}`", _sentence(action.help or ""))
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    return table(("argument", "meaning"), rows)


def _argument(action: argparse.Action) -> str:
    """``NAME``, ``IMAGE ...``, ``--port PORT``, ``--json``."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        value = "{" + ",".join(action.choices) + "}"
    if not action.option_strings:
        return value if action.nargs is None else f"{value} ..."
    option = ", ".join(action.option_strings)
    return option if action.nargs == 0 else f"{option} {value}"


def _sentence(text: str) -> str:
    """With a capital, unless an identifier comes first, and a full stop."""
    text = plain(text)
    if text.partition(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return f"{text}." if text and not text.endswith(".") else text


def sweeps_packages() -> str:
    """The packages of ``sweeps``."""
    rows = [
        (f"`sweeps/{path.name}/`", purpose, interface, _imports("sweeps", path))
        for path, purpose, interface in _packages("sweeps")
    ]
    return table(("package", "purpose", "public interface", "imports of `sweeps`"), rows)


def lnt_core_packages() -> str:
    """The packages of ``lnt_core``."""
    rows = [
        (f"`lnt_core/{path.name}/`", purpose, _imports("lnt_core", path))
        for path, purpose, _ in _packages("lnt_core")
    ]
    return table(("package", "purpose", "imports of `lnt_core`"), rows)


def _packages(root: str) -> list[tuple[Path, str, str]]:
    """Each package with its purpose and public interface, from its docstring."""
    found = []
    for path in sorted((ROOT / root).glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        purpose, _, rest = text.partition("\n")
        interface = re.split(r"Public \w+:", rest)[-1] if "Public " in rest else ""
        found.append((path.parent, plain(purpose), plain(interface).rstrip(".")))
    return found


def _imports(root: str, package: Path) -> str:
    """The other parts of ``root`` that the package's modules import."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                top, _, rest = node.module.partition(".")
                names = [rest.partition(".")[0]] if rest else [a.name for a in node.names]
                found |= {name for name in names if top == root and _is_part(root, name)}
    return ", ".join(f"`{name}`" for name in sorted(found - {package.name})) or "nothing"


def _is_part(root: str, name: str) -> bool:
    return (ROOT / root / name).is_dir() or (ROOT / root / f"{name}.py").is_file()


PARTS: dict[str, Callable[[], str]] = {
    "sweep-file": sweep_file,
    "strategy-options": strategy_options,
    "metrics": metrics,
    "tags": tags,
    "commands": commands,
    "command-arguments": command_arguments,
    "sweeps-packages": sweeps_packages,
    "lnt-core-packages": lnt_core_packages,
}
"""What writes each generated part."""

if __name__ == "__main__":
    main()
