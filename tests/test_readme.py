"""README tells the truth about what can be listed."""

import re
from pathlib import Path

from lnt_core.strategies import STRATEGIES

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_it_lists_every_strategy_with_the_papers_label() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", README, re.MULTILINE))
    labels = {name: strategy.label for name, strategy in STRATEGIES.items()}
    assert rows == labels | {"connector": "ablation"}


def test_its_map_names_what_is_there() -> None:
    listed = re.findall(r"^\| `([\w/.]+)`(?:, `([\w/.]+)`)? \|", README, re.MULTILINE)
    paths = [path for row in listed for path in row if "/" in path]
    assert paths
    assert [p for p in paths if not (Path(__file__).parents[1] / p).exists()] == []
