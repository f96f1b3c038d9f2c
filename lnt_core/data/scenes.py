"""Drawn scenes with five captions each, in Karpathy's layout so that the real loader reads them.

A scene has two objects (size, color, shape), side by side or one above the other, on a colored
ground: a caption must name attributes and a relation, yet a laptop can train on the images.
"""

import hashlib
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from lnt_core.cached import cached_folder
from lnt_core.config import ScenesConfig

VERSION = 1
"""Part of the cache key; incremented whenever the drawings or captions change."""
PIXELS = 48
SAMPLES_PER_SCENE = 5
"""Conversations trained on: its captions, or a caption and four questions."""
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


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """What a scene shows."""

    first: Thing
    """On the left, or above."""
    second: Thing
    ground: str
    beside: bool
    """Whether the objects are side by side, rather than one above the other."""

    @property
    def things(self) -> tuple[Thing, Thing]:
        """Both objects."""
        return self.first, self.second

    @property
    def captions(self) -> list[str]:
        """Its five captions."""
        first, second, ground = self.first, self.second, self.ground
        if self.beside:
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


def drawn_scenes(config: ScenesConfig, cache: Path) -> Path:
    """The folder of the scenes, which are drawn unless they are cached.

    It has ``dataset_scenes.json`` in Karpathy's layout, and the images in ``images``.

    Args:
        config: How many scenes of each split, and the seed.
        cache: Folder kept between runs, with one subfolder per hash of these.
    """
    drawn = config.model_dump_json(exclude={"select", "report", "questions"})
    key = hashlib.sha256(f"{VERSION} {drawn}".encode()).hexdigest()[:12]
    return cached_folder(cache / f"scenes-{key}", lambda draft: _write(config, draft))


def _write(config: ScenesConfig, folder: Path) -> None:
    """Write images and annotations to an empty folder."""
    (folder / "images").mkdir()
    items = []
    for split, name, scene, image in all_scenes(config):
        image.save(folder / "images" / name)
        sentences = [{"raw": caption, "tokens": caption.split()} for caption in scene.captions]
        items.append({"filename": name, "split": split, "sentences": sentences})
    content = {"dataset": "scenes", "images": items}
    (folder / "dataset_scenes.json").write_text(json.dumps(content), encoding="utf-8")


def all_scenes(config: ScenesConfig) -> Iterator[tuple[str, str, Scene, Image.Image]]:
    """Every scene: its split, the name of its file, what it shows, and its image."""
    rng = random.Random(config.seed)
    splits = {"train": config.num_train, "val": config.num_val, "test": config.num_test}
    for split, count in splits.items():
        for number in range(count):
            image, scene = draw_scene(rng)
            yield split, f"{split}_{number:05d}.png", scene, image


def draw_scene(rng: random.Random) -> tuple[Image.Image, Scene]:
    """One scene of ``PIXELS`` x ``PIXELS``, and what it shows."""
    ground = rng.choice(list(GROUNDS))
    beside = rng.random() < 0.5
    first, second = (
        Thing(rng.choice(list(RADII)), rng.choice(list(COLOURS)), rng.choice(SHAPES))
        for _ in range(2)
    )
    scene = Scene(first, second, ground, beside)
    image = Image.new("RGB", (PIXELS, PIXELS), GROUNDS[ground])
    pen = ImageDraw.Draw(image)
    for thing, place in zip(scene.things, (13, 35), strict=True):
        x, y = (place, 24) if beside else (24, place)
        x, y = x + rng.randint(-2, 2), y + rng.randint(-2, 2)
        _draw(pen, thing.shape, COLOURS[thing.colour], x, y, RADII[thing.size])
    return image, scene


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
