"""Runs `lnt` as a user does, on the pretrained model: from the sweep file to captions."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lnt_core.errors import LntError
from sweeps.plan.labels import short_rate, short_share
from tests.micro import outcome
from tests.real.language import language_model
from tests.real.photographs import UNSEEN, data_settings, photographs
from tests.real.vision import vision_tower

SWEEP = Path(__file__).parent / "sweep.yaml"
LNT = Path(sys.executable).parent / "lnt"


@dataclass(frozen=True)
class Outcome:
    """What a run gives; equal for two runs on one kind of machine."""

    precision: str
    best: dict[str, Any]
    """The object that `lnt best --json` prints."""
    captions: dict[str, str]
    """By the file's name."""
    digits: str
    """Hash of each trial's score and the losses of all its steps, to the last digit."""

    def markdown(self) -> str:
        """The table, the captions and the hash."""
        rows = [
            f"| {winner['strategy']} "
            f"| {short_rate(winner['learning_rate'])}{' (edge)' if winner['at_edge'] else ''} "
            f"| {winner['score']:.2f} | {winner['report_score']:.2f} "
            f"| {short_share(winner['trainable_share'])} |"
            for winner in self.best["winners"]
        ]
        lines = [
            "| strategy | best lr | CIDEr | held out | trainable |",
            "|---|---:|---:|---:|---:|",
            *rows,
            f"| untuned base | | {self.best['base_score']:.2f} | | |",
            "",
            *(f"- `{name}`: {caption}" for name, caption in self.captions.items()),
            "",
            f"{self.precision}; all digits: {self.digits}",
        ]
        return "\n".join(lines)


def run(out: Path, *, cache: Path, changes: Sequence[str] = ()) -> Outcome:
    """Run the sweep in a new folder, export its best winner, and caption with the merged model.

    Stage 1 is trained anew by each run; only the pretrained weights are kept.

    Args:
        out: The folder; must not be there.
        cache: Folder where the pretrained weights are kept.
        changes: Values of the sweep file to override, as `key.path=value`.

    Raises:
        LntError: Weights or photographs are missing, ``out`` is there, or a command failed.
    """
    if out.exists():
        raise LntError(f"--out: {out} is there already; name a new folder")
    paths = {"language_model": language_model(cache), "vision_tower": vision_tower(cache)}
    settings = [f"model.{key}={path}" for key, path in paths.items()]
    settings += [f"train.precision={precision()}", f"align.precision={precision()}", *changes]
    out.mkdir(parents=True)
    overrides = [argument for setting in settings for argument in ("--set", setting)]
    _lnt(out, "run", str(SWEEP), *data_settings(), *overrides, show=True)
    best = json.loads(_lnt(out, "best", "real", "--json"))
    _lnt(out, "export", "real", "--merged", "-o", "best")
    images = [str(photographs() / "images" / name) for name in UNSEEN]
    said = json.loads(_lnt(out, "caption", "best", *images, "--json"))["captions"]
    captions = {Path(row["image"]).name: row["caption"] for row in said}
    return Outcome(precision(), best, captions, _digits(out))


def precision() -> str:
    """`bf16` where the CPU multiplies in it, else `fp32`."""
    return "bf16" if torch.cpu.get_capabilities().get("amx_bf16") else "fp32"


def _digits(out: Path) -> str:
    trials = [path.parent for path in sorted(out.glob("lnt_runs/real/*/trials/*/result.json"))]
    found = sorted((key, values) for key, values in outcome(trials).items())
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _lnt(out: Path, *argv: str, show: bool = False) -> str:
    """Run `lnt` in a folder; returns what it printed.

    Raises:
        LntError: It failed; the message has what it said last.
    """
    print(f"lnt {argv[0]}", flush=True)
    environment = os.environ | {"LNT_CACHE": str(out.absolute() / "cache")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [LNT, *argv],
        cwd=out,
        env=environment,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        said = f"lnt {argv[0]} ended with exit code {done.returncode}\n{done.stderr or ''}"
        raise LntError(said.rstrip())
    return done.stdout or ""
