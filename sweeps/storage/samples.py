"""Sample images for the report: a few of the selection split, reduced, with their references."""

import base64
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.captioned import CaptionedImage
from lnt_core.data.images import open_rgb
from lnt_core.files import write_text

SAMPLES = "samples.jsonl"
NUM_SAMPLES = 12
MAX_SIDE = 320
"""Longest side of a reduced image, in pixels."""


@dataclass(frozen=True)
class Sample:
    """An image with its reference captions."""

    image: str
    """File name, as in the files of captions."""
    references: tuple[str, ...]
    jpeg: str
    """The reduced image as JPEG in Base64."""


def write_samples(
    items: list[CaptionedImage], path: Path, *, seed: int, opening: Opening = USUAL
) -> None:
    """Write randomly drawn sample images; the scores of trials play no part in the choice.

    Args:
        items: All images of the split.
        path: The file to write, one JSON object per line.
        seed: Seed of the draw.
        opening: How images are opened (`data.opening`): a sample shows what the model sees.
    """
    import torch  # reading samples does without

    from lnt_core.seeding import generator

    chosen = torch.randperm(len(items), generator=generator("report samples", seed))
    samples = [
        Sample(items[i].image.name, items[i].references, _jpeg(items[i].image, opening))
        for i in sorted(chosen[:NUM_SAMPLES].tolist())
    ]
    lines = [json.dumps(asdict(sample), ensure_ascii=False) for sample in samples]
    write_text(path, "\n".join(lines) + "\n")


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Read a file written by :func:`write_samples`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(Sample(r["image"], tuple(r["references"]), r["jpeg"]) for r in rows)


def _jpeg(path: Path, opening: Opening) -> str:
    small = open_rgb(path, opening)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
