"""The generated parts of README.md and docs/ are what the code says; `make docs` writes them."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from lnt_core.config import TuneConfig
from lnt_core.metrics import METRICS
from lnt_core.strategies import STRATEGIES
from sweeps.results.tags import TAGS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.fixture
def generate(monkeypatch):
    """The script, which is no package."""
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("generate")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_as_the_code_says(generate, page) -> None:
    text = page.read_text(encoding="utf-8")
    assert generate.rewritten(text) == text, "run `make docs` and commit what changes"


def test_every_generated_part_is_on_some_page(generate) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in generate.PARTS if f"<!-- end: {name} -->" not in text] == []


def test_a_field_is_described_by_its_type_default_and_docstring(generate) -> None:
    rows = importlib.import_module("config_tables").field_table(TuneConfig).splitlines()
    by_key = {row.split("|")[1].strip(): row for row in rows}
    assert "| `fp32`, `tf32` or `bf16` | `fp32` |" in by_key["`precision`"]
    assert "| number >= 0 and < 1 | `0.03` |" in by_key["`warmup_ratio`"]
    assert "| whole number >= 1 and <= 1,048,576 or `auto` | `16` |" in by_key["`micro_batch_size`"]
    # a base class has it:
    assert "| number > 0 and <= 10,000 |  | Passes over" in by_key["`epochs`"]


@pytest.mark.parametrize(
    "package", sorted((ROOT / "sweeps").glob("*/__init__.py")), ids=lambda path: path.parent.name
)
def test_a_public_interface_names_what_is_there(package) -> None:
    docstring = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    names = re.findall(r"`([\w.]+)`", re.split(r"Public \w+:", docstring)[-1])
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        path = package.parent / f"{(module or name).replace('.', '/')}.py"
        defined = re.findall(r"^(?:def |class )?(\w+)", path.read_text(), re.MULTILINE)
        assert not module or attribute in defined, name


def test_every_metric_tag_and_strategy_is_on_its_page() -> None:
    for page, names in (("metrics", METRICS), ("tags", TAGS), ("strategies", STRATEGIES)):
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        assert [name for name in names if f"`{name}`" not in text] == [], page
