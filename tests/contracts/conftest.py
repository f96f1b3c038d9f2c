"""Each family of vision-language checkpoints, with conversations that show what it can."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.conversation import Encoded
from lnt_core.data.samples import Sample
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.training.batches import Batch, collate
from tests.vlm_checkpoints import PICTURES, save
from tests.vlm_families import FAMILIES

ANSWERS = (
    ("A cat.", "Two dogs\non grass \u00e9 \u72d7.", "Yes."),
    ("No more.",),
    ("Same \u00e9.",),
)
QUESTION = "What is there?"


@dataclass(frozen=True)
class Family:
    """A family, with conversations in one batch: several turns, two sizes, two images, none."""

    name: str
    folder: str
    base: VisionLanguageModel
    samples: list[Sample]
    images: tuple[Path, ...]

    @property
    def pad_id(self) -> int:
        return int(self.base.conversations.tokenizer.pad_token_id)

    def encoded(self) -> list[Encoded]:
        return [self.base.conversations.encode(sample) for sample in self.samples]

    def batch(self, rows: list[Encoded]) -> Batch:
        return collate(rows, pad_id=self.pad_id, store=FeatureStore(self.base, max_bytes=2**24))

    def plainly(self) -> dict[str, Any]:
        """The same conversations by the processor, padded on the right."""
        images = [[Image.open(path) for path in sample.images] for sample in self.samples]
        if FAMILIES[self.name].template is None:
            asked = [sample.turns[0][0].replace("\n", "") for sample in self.samples]
            told = [sample.turns[0][1] for sample in self.samples]
            done = self.base.processor(
                text=asked, images=images, suffix=told, padding=True, return_tensors="pt"
            )
            return {key: value for key, value in done.items() if key != "labels"}
        template = self.base.conversations.template
        texts = ["".join(t for t, _ in template.segments(s.turns)) for s in self.samples]
        return dict(
            self.base.processor(
                text=texts,
                images=images,
                padding=True,
                padding_side="right",
                add_special_tokens=template.adds_special_tokens(texts[0]),
                return_tensors="pt",
            )
        )


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory) -> Family:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    images = (folder / "wide.png", folder / "high.png")
    for path, picture in zip(images, PICTURES, strict=True):
        picture.save(path)
    questions = (f"<image>\n{QUESTION}", "And?", "Really?")
    samples = [
        Sample((path,), tuple(zip(questions, answers, strict=False)))
        for path, answers in zip(images, ANSWERS, strict=False)
    ]
    if FAMILIES[name].template is None:  # one question about one image
        samples = [Sample(sample.images, sample.turns[:1]) for sample in samples]
    else:
        both = "Compare <image>\nwith <image>\nplease."
        samples += [Sample(images, ((both, ANSWERS[2][0]),)), Sample((), (("Hi?", "Hello."),))]
    checkpoint = save(name, folder / "checkpoint")
    base = load_base(ModelConfig(checkpoint=checkpoint), cache=folder)
    return Family(name, checkpoint, base, samples, images)
