"""What `against_trainer` trains on: drawn scenes, photographs, and lengths as LLaVA's.

All are files that both sides read: a LLaVA checkpoint with its processor, conversations in LLaVA's
layout, and captions to choose by in Karpathy's.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lnt_core.config import CAPTION_PROMPT, AlignConfig, ScenesConfig, TrialConfig
from lnt_core.data.scenes import drawn_scenes
from lnt_core.models.plain import save_plain
from lnt_core.worker import Worker
from tests.real.photographs import photographs

DEMO_RATES = (2e-3, 1e-3, 6e-4, 3e-4, 2e-4, 1e-4, 6e-5, 3e-5, 2e-5, 1e-5, 1e-6)
WIDTH, HEIGHT = 640, 480
"""Pixels of most of COCO's images."""
WORDS_MEDIAN, WORDS_SIGMA, WORDS_MAX = 80, 0.8, 400
"""A log-normal distribution (assumed): many short answers and a long tail, as in
LLaVA-Instruct-80K, but half as long, because the tiny model has 512 positions."""


@dataclass(frozen=True)
class Workload:
    """Trials of one strategy, `layernorm`, at several rates."""

    name: str
    model: str
    """Folder of a LLaVA checkpoint."""
    tune: str
    """Conversations, a JSON file in LLaVA's layout."""
    tune_images: str
    select: str
    """Captions in Karpathy's layout, of which the split `val` chooses."""
    select_images: str
    num_select: int
    rates: tuple[float, ...]
    max_steps: int
    batch_size: int
    micro_batch_size: int
    max_new_tokens: int = 32

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def checkpoint(model: dict[str, Any], align: dict[str, Any], cache: Path, folder: Path) -> str:
    """Write the base, with the connector of stage 1, as a LLaVA that transformers loads.

    Args:
        model: The sweep file's `model`.
        align: Its `align`, on drawn scenes.
        cache: Where the tiny model and stage 1 are kept.
        folder: To write to.
    """
    config = TrialConfig.model_validate(
        {
            "model": model,
            "data": {"scenes": ScenesConfig()},
            "align": AlignConfig.model_validate(align),
            "strategy": {"name": "layernorm"},
            "learning_rate": 1e-3,
        }
    )
    base = Worker(cache).prepare(config).base
    save_plain(base, base.model, folder, max_new_tokens=32)
    return str(folder)


def scenes(model: str, cache: Path, folder: Path, scale: float) -> Workload:
    """The demo's images, steps and rates."""
    drawn = drawn_scenes(ScenesConfig(), cache)
    rates = DEMO_RATES[: max(2, round(scale * len(DEMO_RATES)))]
    files = _captions(drawn / "dataset_scenes.json", drawn / "images", folder)
    steps, select = max(2, round(100 * scale)), max(2, round(200 * scale))
    return Workload("scenes", model, *files, select, rates, steps, 16, 16)


def photos(model: str, folder: Path, scale: float) -> Workload:
    """600 photographs of Flickr8k, read where they are.

    Raises:
        ConfigError: They are not there.
    """
    given = photographs()
    files = _captions(given / "dataset_flickr8k.json", given / "images", folder)
    steps, select = max(2, round(30 * scale)), max(2, round(50 * scale))
    return Workload("photographs", model, *files, select, (2e-3, 6e-4, 2e-4), steps, 16, 16)


def llava(model: str, cache: Path, folder: Path, scale: float) -> Workload:
    """Answers of very different lengths about images of COCO's size, 2,000 at ``scale`` 1."""
    number = max(16, round(2000 * scale))
    rng, images = random.Random(0), folder / "coco"
    images.mkdir()
    drawn = drawn_scenes(ScenesConfig(), cache)
    annotations = json.loads((drawn / "dataset_scenes.json").read_text())["images"]
    words = [word for item in annotations for word in item["sentences"][0]["tokens"]]
    samples = []
    for index, name in enumerate(_jpegs(images, number)):
        length = min(WORDS_MAX, round(rng.lognormvariate(np.log(WORDS_MEDIAN), WORDS_SIGMA)))
        start = rng.randrange(len(words) - WORDS_MAX)
        answer = " ".join(words[start : start + max(1, length)])
        samples.append(_sample(index, name, "What is in this image?", answer))
    (folder / "tune.json").write_text(json.dumps(samples))
    scored = str(drawn / "dataset_scenes.json"), str(drawn / "images")
    steps, select = max(2, round(60 * scale)), max(2, round(100 * scale))
    files = (str(folder / "tune.json"), str(images), *scored)
    return Workload("llava", model, *files, select, (2e-3, 6e-4, 2e-4), steps, 32, 8)


def _captions(annotations: Path, images: Path, folder: Path) -> tuple[str, str, str, str]:
    """Karpathy's file as it is, and the captions of its split `train` as conversations."""
    samples = [
        _sample(f"{item['filename']}-{i}", item["filename"], CAPTION_PROMPT, sentence["raw"])
        for item in json.loads(annotations.read_text())["images"]
        if item["split"] == "train"
        for i, sentence in enumerate(item["sentences"])
    ]
    (folder / "tune.json").write_text(json.dumps(samples))
    return str(folder / "tune.json"), str(images), str(annotations), str(images)


def _sample(name: object, image: str, question: str, answer: str) -> dict[str, Any]:
    asked = {"from": "human", "value": f"<image>\n{question}"}
    turns = [asked, {"from": "gpt", "value": answer}]
    return {"id": str(name), "image": image, "conversations": turns}


def _jpegs(folder: Path, number: int) -> Iterator[str]:
    """Write images that take as long to decode as photographs: smooth shapes with some noise."""
    draws = np.random.default_rng(0)
    for index in range(number):
        coarse = draws.integers(0, 256, (15, 20, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noise = draws.normal(0, 12, (HEIGHT, WIDTH, 1))
        noisy = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
        name = f"{index:012}.jpg"
        Image.fromarray(noisy).save(folder / name, quality=90)
        yield name
