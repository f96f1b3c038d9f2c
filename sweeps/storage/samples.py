"""A dozen images of the split that chooses, small, with their references: for the report."""

import base64
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps

from lnt_core.data.samples import CaptionedImage
from lnt_core.seeding import generator

SAMPLES = "samples.jsonl"
NUM_SAMPLES = 12
MAX_SIDE = 320
"""Pixels."""


@dataclass(frozen=True)
class Sample:
    """An image with what people wrote under it."""

    image: str
    """Its name, as in the captions."""
    references: tuple[str, ...]
    jpeg: str
    """Base64."""


def write_samples(items: list[CaptionedImage], path: Path, *, seed: int) -> None:
    """Draw by the seed, not by anybody's score, so that nobody looks better than they are."""
    chosen = torch.randperm(len(items), generator=generator("report samples", seed))
    samples = [
        Sample(items[i].image.name, items[i].references, _jpeg(items[i].image))
        for i in sorted(chosen[:NUM_SAMPLES].tolist())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(sample), ensure_ascii=False) for sample in samples]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Of a file of :func:`write_samples`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(Sample(r["image"], tuple(r["references"]), r["jpeg"]) for r in rows)


def _jpeg(path: Path) -> str:
    with Image.open(path) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
