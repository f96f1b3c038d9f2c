"""The test tree mirrors the code: `test_x.py` tests `x.py` in the folder of the same name."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
MIRRORED = ("lnt_core", "sweeps")


def misplaced(tests: Iterable[str], modules: Iterable[str]) -> list[str]:
    """Test files without a module, with advice where to move them; a line each.

    Args:
        tests: Paths of test files, from the root: ``tests/sweeps/plan/test_load.py``.
        modules: Paths of modules, from the root: ``sweeps/plan/load.py``.
    """
    known = set(modules)
    places: dict[str, list[str]] = {}
    for module in sorted(known):
        places.setdefault(PurePosixPath(module).name, []).append(_test_of(module))
    problems = []
    for test in sorted(tests):
        module = _module_of(test)
        if module not in known:
            found = places.get(PurePosixPath(module).name)
            advice = f"move it to {' or '.join(found)}" if found else "name it after what it tests"
            problems.append(f"{test} tests {module}, which does not exist: {advice}")
    return problems


def _module_of(test: str) -> str:
    _, *folders, name = PurePosixPath(test).parts
    return "/".join([*folders, name.removeprefix("test_")])


def _test_of(module: str) -> str:
    path = PurePosixPath(module)
    return f"tests/{path.parent}/test_{path.name}"


def _files(folder: str, pattern: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)]


@pytest.mark.parametrize("tree", MIRRORED)
def test_every_test_file_has_its_module(tree) -> None:
    problems = misplaced(_files(f"tests/{tree}", "test_*.py"), _files(tree, "*.py"))
    assert not problems, "\n".join(problems)


def test_a_test_of_a_module_that_is_gone_is_told_where_to_go() -> None:
    modules = ["sweeps/config.py", "sweeps/plan/load.py", "sweeps/plan/checks.py"]
    tests = ["tests/sweeps/test_config.py", "tests/sweeps/plan/test_load.py"]
    assert misplaced(tests, modules) == []
    gone = ["tests/sweeps/test_load.py", "tests/sweeps/plan/test_regressions.py"]
    assert misplaced(tests + gone, modules) == [
        "tests/sweeps/plan/test_regressions.py tests sweeps/plan/regressions.py, which does not "
        "exist: name it after what it tests",
        "tests/sweeps/test_load.py tests sweeps/load.py, which does not exist: "
        "move it to tests/sweeps/plan/test_load.py",
    ]


def test_a_package_is_no_module() -> None:
    modules = ["lnt_core/config/__init__.py", "lnt_core/config/train.py"]
    assert len(misplaced(["tests/lnt_core/test_config.py"], modules)) == 1
    assert misplaced(["tests/lnt_core/config/test_train.py"], modules) == []
