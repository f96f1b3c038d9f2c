"""The selection task: greedy captions of the images of a split, and their CIDEr."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lnt_core.config import SelectConfig
from lnt_core.data.conversation import Conversations
from lnt_core.data.samples import CaptionedImage, load_captioned
from lnt_core.devices.faults import is_out_of_memory
from lnt_core.devices.memory import empty
from lnt_core.distributed.ranks import gather, num_workers, rank
from lnt_core.distributed.sharded import runs_in_step
from lnt_core.evaluation.batch_size import lower_to, told
from lnt_core.evaluation.cider import CiderScorer
from lnt_core.models.features import FeatureStore
from lnt_core.seeding import generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captioned:
    """Captions of a split and their scores, one per image."""

    images: tuple[str, ...]
    captions: tuple[str, ...]
    ciders: tuple[float, ...]
    """CIDEr x 100 of each caption, relative to this set of images."""

    @property
    def cider(self) -> float:
        """CIDEr x 100 of the set."""
        return fmean(self.ciders)

    def rows(self) -> list[dict[str, str | float]]:
        """One row per image, for a file of JSON lines."""
        rows = zip(self.images, self.captions, self.ciders, strict=True)
        return [{"image": i, "caption": c, "cider": s} for i, c, s in rows]


class CaptioningTask:
    """One split of a captioning task, prepared once and used for all trials of a worker."""

    def __init__(
        self, select: SelectConfig, split: str, conversations: Conversations, *, seed: int
    ) -> None:
        self.items = load_captioned(select, split)
        """The images with their references, in the order of the results."""
        self._scorer = CiderScorer([item.references for item in self.items])
        self._select = select
        self.batch_size = select.batch_size
        """Images captioned at once: `data.select.batch_size`, or what was left of it when memory
        ran out; later trials of this process begin with it."""
        self.told_in: Path | None = None
        """File through which other processes of the sweep begin with it too."""
        examples = text_examples(select, seed=seed)
        self.images = [item.image for item in self.items]
        self._tokenizer = conversations.tokenizer
        self.prompt_ids = conversations.encode_prompt(select.prompt, examples=examples)
        self.prompt = conversations.prompt_text(select.prompt, examples=examples)
        """The whole text before an answer, with ``<image>`` in place of the image."""

    @property
    def max_new_tokens(self) -> int:
        """Maximum number of tokens per caption."""
        return self._select.max_new_tokens

    @property
    def prompt_sha256(self) -> str:
        """Hash of the prompt; scores under different prompts are not comparable."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def evaluate(self, model: nn.Module, store: FeatureStore, *, bf16: bool = False) -> Captioned:
        """Caption every image of the split with ``model`` and score it.

        Several workers share the batches; each of them returns the complete result.
        """
        model.eval()
        self._be_told(in_step=runs_in_step(model))
        size = self._select.batch_size
        batches = [self.items[i : i + size] for i in range(0, len(self.items), size)]
        own = {}
        for index in range(rank(), len(batches), num_workers()):
            own[index] = self._captions(model, store, batches[index], bf16=bf16)
        remainder = len(batches) % num_workers()
        if runs_in_step(model) and remainder and rank() >= remainder:
            self._captions(model, store, batches[-1], bf16=bf16)
        done = {i: texts for part in gather(own) for i, texts in part.items()}
        captions = [text for index in range(len(batches)) for text in done[index]]
        return Captioned(
            tuple(item.image.name for item in self.items),
            tuple(captions),
            tuple(self._scorer.scores(captions)),
        )

    def _be_told(self, *, in_step: bool) -> None:
        """Lower the batch size to what other processes have told."""
        if self.told_in is not None:
            self.batch_size = min(self.batch_size, told(self.told_in) or self.batch_size)
        if in_step:  # else one worker might run more batches than another
            self.batch_size = min(gather(self.batch_size))

    def _captions(
        self, model: nn.Module, store: FeatureStore, items: Sequence[CaptionedImage], *, bf16: bool
    ) -> list[str]:
        """Captions of one batch, in as many parts as memory requires."""
        texts: list[str] = []
        while part := items[len(texts) : len(texts) + self.batch_size]:
            features = store.get([item.image for item in part])
            try:
                texts += greedy_captions(
                    model,
                    features,
                    self.prompt_ids,
                    self._tokenizer,
                    max_new_tokens=self._select.max_new_tokens,
                    bf16=bf16,
                )
                continue
            except Exception as error:
                # workers that run in step must generate the same number of times
                if len(part) == 1 or runs_in_step(model) or not is_out_of_memory(error):
                    raise
            empty(features.device)  # not before the error is gone, which holds the tensors
            self.batch_size = len(part) // 2
            logger.warning(
                "captioning ran out of memory with %d images at once; going on with %d",
                len(part),
                self.batch_size,
            )
            if self.told_in is not None:
                lower_to(self.told_in, self.batch_size)
        return texts


@torch.no_grad()  # not inference_mode: features computed here may be trained on later
def greedy_captions(
    model: Any,
    features: Tensor,
    prompt_ids: list[int],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_new_tokens: int,
    bf16: bool = False,
) -> list[str]:
    """Caption each image by greedy decoding.

    Args:
        model: The model in evaluation mode, which takes features instead of pixels. Its own
            generation config says which tokens end a caption (``lnt_core.models.tokens.greedy``).
        features: Image features of shape (images, tokens, channels).
        prompt_ids: Token ids of the prompt, the same for every image.
        tokenizer: The model's tokenizer.
        max_new_tokens: Maximum number of tokens per caption.
        bf16: Run under bfloat16 autocast, as in training.
    """
    prompt = torch.tensor([prompt_ids] * len(features), device=features.device)
    with torch.autocast(features.device.type, torch.bfloat16, enabled=bf16):
        tokens = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            pixel_values=features,
            max_new_tokens=max_new_tokens,
            synced_gpus=runs_in_step(model),  # captions of other workers may be longer
        )
    texts: list[str] = tokenizer.batch_decode(
        tokens[:, prompt.shape[1] :], skip_special_tokens=True
    )
    return [" ".join(text.split()) for text in texts]


def text_examples(select: SelectConfig, *, seed: int) -> tuple[tuple[str, str], ...]:
    """Text-only question-answer examples, drawn from the train split with ``seed``.

    Source:
        Alayrac et al., Flamingo, arXiv:2204.14198, which prompts this way for zero-shot captions.
        The LayerNorm paper (Zhao et al.) uses three examples, but does not print them.
    """
    if select.text_examples == 0:
        return ()
    train = load_captioned(select.model_copy(update={"num_images": None}), "train")
    chosen = torch.randperm(len(train), generator=generator("text examples", seed))
    items = [train[i] for i in chosen[: select.text_examples].tolist()]
    return tuple((select.prompt, item.references[0]) for item in items)
