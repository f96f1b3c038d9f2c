"""Drawn scenes with five captions each, in Karpathy's layout so that the real loader reads them.

A scene has two objects (size, color, shape), side by side or one above the other, on a colored
ground: a caption must name attributes and a relation, yet a laptop can train on the images.
"""

import hashlib
import json
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

from lnt_core.cached import cached_folder
from lnt_core.config import DataConfig, DatasetConfig, ScenesConfig, SelectConfig

VERSION = 1
"""Part of the cache key; incremented whenever the drawings or captions change."""
PIXELS = 48
CAPTIONS_PER_SCENE = 5
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 180),
    "orange": (240, 140, 30),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
GROUNDS = {
    "gray": (128, 128, 128),
    "sky": (150, 200, 240),
    "sand": (220, 200, 150),
    "grass": (90, 160, 80),
}
RADII = {"small": 5, "large": 10}


def scenes_data(config: ScenesConfig, cache: Path) -> DataConfig:
    """Draw the scenes unless they are cached, and return the config of their files.

    Args:
        config: How many scenes of each split, and the seed.
        cache: Folder kept between runs, with one subfolder per hash of ``config``.
    """
    key = hashlib.sha256(f"{VERSION} {config.model_dump_json()}".encode()).hexdigest()[:12]
    folder = cached_folder(cache / f"scenes-{key}", lambda draft: _write(config, draft))
    files = {"annotations": str(folder / "dataset_scenes.json"), "images": str(folder / "images")}
    return DataConfig(
        tune=DatasetConfig(**files),
        select=SelectConfig(task="scenes", **files, max_new_tokens=24, batch_size=200),
    )


def _write(config: ScenesConfig, folder: Path) -> None:
    """Write images and annotations to an empty folder."""
    (folder / "images").mkdir()
    rng = random.Random(config.seed)
    splits = {"train": config.num_train, "val": config.num_val, "test": config.num_test}
    items = []
    for split, count in splits.items():
        for number in range(count):
            image, captions = draw_scene(rng)
            name = f"{split}_{number:05d}.png"
            image.save(folder / "images" / name)
            sentences = [{"raw": caption, "tokens": caption.split()} for caption in captions]
            items.append({"filename": name, "split": split, "sentences": sentences})
    content = {"dataset": "scenes", "images": items}
    (folder / "dataset_scenes.json").write_text(json.dumps(content), encoding="utf-8")


def draw_scene(rng: random.Random) -> tuple[Image.Image, list[str]]:
    """One scene of ``PIXELS`` x ``PIXELS`` and its five captions."""
    ground = rng.choice(list(GROUNDS))
    beside = rng.random() < 0.5
    things = [
        (rng.choice(list(RADII)), rng.choice(list(COLOURS)), rng.choice(SHAPES)) for _ in range(2)
    ]
    image = Image.new("RGB", (PIXELS, PIXELS), GROUNDS[ground])
    pen = ImageDraw.Draw(image)
    for (size, colour, shape), place in zip(things, (13, 35), strict=True):
        x, y = (place, 24) if beside else (24, place)
        _draw(
            pen, shape, COLOURS[colour], x + rng.randint(-2, 2), y + rng.randint(-2, 2), RADII[size]
        )
    first, second = (" ".join(thing) for thing in things)
    return image, _captions(first, second, ground, beside=beside)


def _captions(first: str, second: str, ground: str, *, beside: bool) -> list[str]:
    if beside:
        return [
            f"A {first} is beside a {second} on {ground}.",
            f"There is a {first} to the left of a {second}.",
            f"A {second} to the right of a {first} on {ground}.",
            f"A {first} and a {second} side by side.",
            f"On {ground} a {first} sits next to a {second}.",
        ]
    return [
        f"A {first} is above a {second} on {ground}.",
        f"There is a {first} over a {second}.",
        f"A {second} under a {first} on {ground}.",
        f"A {first} on top and a {second} at the bottom.",
        f"On {ground} a {first} hangs over a {second}.",
    ]


def _draw(
    pen: ImageDraw.ImageDraw, shape: str, fill: tuple[int, int, int], x: int, y: int, r: int
) -> None:
    if shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)
    elif shape == "star":
        corners = [
            (x + radius * math.cos(angle), y + radius * math.sin(angle))
            for k in range(10)
            for angle in (math.pi * k / 5 - math.pi / 2,)
            for radius in (r if k % 2 == 0 else r * 0.45,)
        ]
        pen.polygon(corners, fill=fill)
    else:
        arm = r * 0.3
        pen.rectangle((x - r, y - arm, x + r, y + arm), fill=fill)
        pen.rectangle((x - arm, y - r, x + arm, y + r), fill=fill)
