"""The selection task: caption the images of a split, greedily, and score them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import nn

from lnt_core.config import SelectConfig
from lnt_core.data.batches import FeatureStore
from lnt_core.data.conversation import Conversations
from lnt_core.data.samples import CaptionedImage, load_captioned
from lnt_core.distributed import gather, num_workers, rank
from lnt_core.evaluation.cider import CiderScorer
from lnt_core.seeding import generator
from lnt_core.training.sharded import is_sharded


@dataclass(frozen=True)
class Captioned:
    """Captions of a split with their scores, image by image."""

    images: tuple[str, ...]
    captions: tuple[str, ...]
    ciders: tuple[float, ...]
    """CIDEr x 100 of each image, within this set of images."""

    @property
    def cider(self) -> float:
        """CIDEr x 100 of the set."""
        return fmean(self.ciders)

    def rows(self) -> list[dict[str, str | float]]:
        """One row an image, to be written as JSON lines."""
        rows = zip(self.images, self.captions, self.ciders, strict=True)
        return [{"image": i, "caption": c, "cider": s} for i, c, s in rows]


class CaptioningTask:
    """One split of a captioning task, made once per worker and asked once per trial."""

    def __init__(
        self, select: SelectConfig, split: str, conversations: Conversations, *, seed: int
    ) -> None:
        self._items = load_captioned(select, split)
        self._scorer = CiderScorer([item.references for item in self._items])
        self._select = select
        examples = text_examples(select, seed=seed)
        self.images = [item.image for item in self._items]
        self._tokenizer = conversations.tokenizer
        self.prompt_ids = conversations.encode_prompt(select.prompt, examples=examples)
        self.prompt = conversations.prompt_text(select.prompt, examples=examples)
        """The whole text before an answer, with ``<image>`` where the image stands."""

    @property
    def prompt_sha256(self) -> str:
        """Scores under different prompts do not compare; this tells them apart."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def evaluate(self, model: nn.Module, store: FeatureStore, *, bf16: bool = False) -> Captioned:
        """Caption every image of the split with ``model`` and score it.

        Several workers take turns with the batches; each is given the captions of all.
        """
        model.eval()
        size = self._select.batch_size
        batches = [self._items[i : i + size] for i in range(0, len(self._items), size)]
        own = {}
        for index in range(rank(), len(batches), num_workers()):
            own[index] = self._generate(model, store, batches[index], bf16=bf16)
        more = len(batches) % num_workers()
        if is_sharded(model) and more and rank() >= more:
            self._generate(model, store, batches[-1], bf16=bf16)  # others have one more
        done = {i: texts for part in gather(own) for i, texts in part.items()}
        captions = [text for index in range(len(batches)) for text in done[index]]
        return Captioned(
            tuple(item.image.name for item in self._items),
            tuple(captions),
            tuple(self._scorer.scores(captions)),
        )

    @torch.no_grad()  # not inference_mode: features computed here may be trained on later
    def _generate(
        self, model: Any, store: FeatureStore, items: Sequence[CaptionedImage], *, bf16: bool
    ) -> list[str]:
        features = store.get([item.image for item in items])
        prompt = torch.tensor([self.prompt_ids] * len(items), device=features.device)
        with torch.autocast(features.device.type, torch.bfloat16, enabled=bf16):
            tokens = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                pixel_values=features,
                max_new_tokens=self._select.max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._tokenizer.eos_token_id,
                synced_gpus=is_sharded(model),  # answers of other workers may be longer
            )
        answers = tokens[:, prompt.shape[1] :]
        texts = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def text_examples(select: SelectConfig, *, seed: int) -> tuple[tuple[str, str], ...]:
    """Question-answer examples without image, drawn from the train split by the seed.

    Source:
        Alayrac et al., Flamingo, arXiv:2204.14198, whose zero-shot prompts are such; the paper
        uses three, and does not print them.
    """
    if select.text_examples == 0:
        return ()
    train = load_captioned(select.model_copy(update={"num_images": None}), "train")
    chosen = torch.randperm(len(train), generator=generator("text examples", seed))
    items = [train[i] for i in chosen[: select.text_examples].tolist()]
    return tuple((select.prompt, item.references[0]) for item in items)
