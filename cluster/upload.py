"""Copies the files to ship with a job, so that nothing else in the user's folders is shipped."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import UploadError

MAX_MIB = 100
"""Most that a job may ship. Ray's own limit is 500 MiB; data belongs on shared storage."""
NUM_NAMED = 3
"""How many of the largest files an error names."""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Shipped:
    """The copies made for one submission."""

    working_dir: Path
    packages: tuple[Path, ...]


def assemble(folder: Path, files: Mapping[str, Path], packages: Sequence[Path]) -> Shipped:
    """Copy files and packages into ``folder``.

    Args:
        folder: An existing, empty folder.
        files: Files or folders to copy, by their paths in the job's working directory.
        packages: Folders of Python packages.

    Raises:
        UploadError: One is missing, or together they exceed ``MAX_MIB``.
    """
    sources = [*files.values(), *packages]
    missing = [str(path) for path in sources if not path.exists()]
    if missing:
        raise UploadError(f"files to ship do not exist: {', '.join(missing)}")
    _refuse_too_large(sources)
    working_dir = folder / "files"
    working_dir.mkdir()
    for name, path in files.items():
        target = working_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, ignore=LEFT_OUT)
        else:
            shutil.copy2(path, target)
    copies = []
    for package in packages:
        copies.append(folder / "packages" / package.name)
        shutil.copytree(package, copies[-1], ignore=LEFT_OUT)
    return Shipped(working_dir, tuple(copies))


def _refuse_too_large(sources: Sequence[Path]) -> None:
    found = [file for path in sources for file in ([path] if path.is_file() else path.rglob("*"))]
    sizes = {file: file.stat().st_size for file in found if file.is_file()}
    total_mib = sum(sizes.values()) / 2**20
    if total_mib <= MAX_MIB:
        return
    largest = sorted(sizes, key=lambda file: -sizes[file])[:NUM_NAMED]
    named = ", ".join(f"{file} ({sizes[file] / 2**20:.0f} MiB)" for file in largest)
    raise UploadError(
        f"a job can ship at most {MAX_MIB} MiB, but this is {total_mib:.0f} MiB: {named}; put "
        "data on storage that every node can access, and give its path in the sweep"
    )
