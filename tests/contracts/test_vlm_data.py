"""What is learnt, seen and answered with each family of checkpoints is what a plain script has.

The plain script knows transformers alone: the checkpoint's own processor on all texts at once, its
own forward pass on pixels, its own ``generate``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.data.samples import Sample
from lnt_core.errors import DataError
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.training.batches import Batch, collate
from lnt_core.training.optimizer_step import answer_loss
from tests.contracts.test_vlm_strategies import PICTURES
from tests.vlm_families import FAMILIES, save

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


def test_what_is_learnt_is_the_answers_and_their_ends(family) -> None:
    conversations = family.base.conversations
    for sample, encoded in zip(family.samples, family.encoded(), strict=True):
        learnt = [label for label in encoded.labels if label != IGNORE]
        expected = [f"{answer}{conversations.end}" for _, answer in sample.turns]
        told = conversations.tokenizer.decode(learnt)
        blanks = " " if told.startswith(" ") else ""
        assert told == "".join(f"{blanks}{text}" for text in expected)


@torch.no_grad()
def test_ids_logits_and_the_loss_are_those_of_plain_transformers(family) -> None:
    from transformers import AutoModelForImageTextToText

    batch, theirs = family.batch(family.encoded()), family.plainly()
    assert torch.equal(batch.input_ids, theirs["input_ids"])
    plain = AutoModelForImageTextToText.from_pretrained(family.folder).eval()
    model = family.base.trial_copy()
    ours, seen = model(**batch.inputs(family.base.device)).logits, plain(**theirs).logits
    real = batch.attention_mask.bool()
    assert torch.equal(ours[real], seen[real])
    count = int((batch.labels[:, 1:] != IGNORE).sum())
    loss = torch.nn.functional.cross_entropy(
        seen[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORE
    )
    assert answer_loss(model, batch, num_answer_tokens=count).item() == pytest.approx(loss.item())


@torch.no_grad()
def test_a_row_in_a_padded_batch_is_the_row_alone(family) -> None:
    model, rows = family.base.trial_copy(), family.encoded()
    together = model(**family.batch(rows).inputs(family.base.device)).logits
    for index, row in enumerate(rows):
        alone = model(**family.batch([row]).inputs(family.base.device)).logits[0]
        assert torch.allclose(alone, together[index, : len(row.input_ids)], atol=1e-5)


@torch.no_grad()
def test_answers_in_a_batch_are_those_of_plain_generation(family) -> None:
    from transformers import AutoModelForImageTextToText

    base, conversations = family.base, family.base.conversations
    prompts = [conversations.encode_prompt(QUESTION, [path]) for path in family.images]
    given = FeatureStore(base, max_bytes=0).get([(path,) for path in family.images])
    ours = greedy_answers(
        base.trial_copy(), prompts, given, conversations.tokenizer, max_new_tokens=8
    )
    plain = AutoModelForImageTextToText.from_pretrained(family.folder).eval()
    plain.generation_config = base.model.generation_config
    for path, prompt, answer in zip(family.images, prompts, ours, strict=True):
        pixels = {**base.pixels_of([Image.open(path)])}
        tokens = {"input_ids": prompt.input_ids, **prompt.extras}
        tensors = {key: torch.tensor([row]) for key, row in tokens.items()}
        done = plain.generate(**tensors, **pixels, max_new_tokens=8)[0, len(prompt.input_ids) :]
        assert answer == conversations.tokenizer.decode(done, skip_special_tokens=True)


def test_a_text_with_the_placeholder_of_an_image_is_refused(family) -> None:
    token = family.base.conversations.image_token
    sample = Sample(family.images[:1], ((f"<image>\nWhat is {token}?", "A word."),))
    with pytest.raises(DataError, match="the image token"):
        family.base.conversations.encode(sample)
