"""README.md and docs/ name only what is there: files, names, links, commands, sweep files."""

import re
from pathlib import Path

import pytest
import yaml

from lnt_core.strategies import STRATEGIES
from sweeps.cli.main import COMMANDS
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LOG = ROOT / "docs" / "LOG.md"  # names files as they were called on the day
PAGES = [README, *sorted(p for p in (ROOT / "docs").glob("*.md") if p != LOG)]
LINKING = [*PAGES, LOG, ROOT / "cluster" / "README.md"]
OURS = r"(?:sweeps|lnt_core|cluster|tests|docs|\.ci)/"
PATH = re.compile(rf"`({OURS}[^`\s<>]*)`")
NAME_IN_FILE = re.compile(rf"`(\w+)`(?:\s+of\s+`(\w+)`)?\s+in\s+`({OURS}[\w/.-]+\.py)`")
LINK = re.compile(r"""(?:\]\(|(?:src|href)=")([^)"\s]+)[)"]""")
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).strip().replace(" ", "-").lower() for h in headings}


def broken(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


def sweep_files() -> list[tuple[str, str]]:
    """Every YAML block that is a whole sweep file, with the name of its page."""
    blocks = [(page.name, block) for page in PAGES for block in YAML.findall(text_of(page))]
    return [(name, block) for name, block in blocks if "search" in yaml.safe_load(block)]


def test_readme_is_read_in_a_few_minutes() -> None:
    assert len(text_of(README).splitlines()) <= 130


def test_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `lnt (\w+)` \|", text_of(README), re.MULTILINE)
    assert listed == list(COMMANDS)


def test_every_strategy_is_listed_with_the_papers_label() -> None:
    page = text_of(ROOT / "docs" / "strategies.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|.* % \|$", page, re.MULTILINE))
    labels = {name: strategy.label for name, strategy in STRATEGIES.items()}
    assert rows == labels | {"connector": "ablation"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_exists(page) -> None:
    assert [path for path in PATH.findall(text_of(page)) if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_is_in_the_file_that_is_given_for_it(page) -> None:
    assert [
        f"{name} in {path}"
        for *names, path in NAME_IN_FILE.findall(text_of(page))
        for name in names
        if name and not re.search(rf"\b{name}\b", text_of(ROOT / path))
    ] == []


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_resolves(page) -> None:
    assert [link for link in LINK.findall(text_of(page)) if broken(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page) -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z][\w-]*)", text_of(page), re.MULTILINE)
    assert [target for target in named if target not in targets] == []


def test_sweep_files_are_shown() -> None:
    assert {"README.md", "sweep-file.md"} <= {name for name, _ in sweep_files()}


@pytest.mark.parametrize(("page", "block"), sweep_files())
def test_a_sweep_file_that_is_shown_can_be_planned(page, block, tmp_path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(block)
    check_sweep(load_sweep(str(path)), files=False)  # what `lnt plan --no-files` checks
