"""The embedded tiny model: a small LLaMA and a small CLIP vision tower, trained on first use.

Training takes under a minute on 2 cores. The result is cached under a hash of the training data,
and saved as a causal language model and a vision tower, so it loads like any other model.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lnt_core.cached import cached_folder
from lnt_core.config import CAPTION_PROMPT, ScenesConfig, TinyConfig
from lnt_core.data.conversation import IGNORE
from lnt_core.data.images import open_rgb
from lnt_core.data.samples import load_samples
from lnt_core.data.scene_questions import scenes_data
from lnt_core.data.scenes import VERSION as SCENES_VERSION
from lnt_core.seeding import cpu_threads, generator, seeded_apart

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VERSION = 1
"""Part of the cache key; incremented whenever the recipe below changes."""
VOCABULARY = 2048
LANGUAGE_SHAPE: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
VISION_SHAPE: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 48,
    "patch_size": 8,
    "projection_dim": 64,
}
LANGUAGE_STEPS, LANGUAGE_BATCH, LANGUAGE_RATE = 350, 16, 3e-3
VISION_STEPS, VISION_BATCH, VISION_RATE = 250, 64, 1e-3
MAX_CAPTION_TOKENS = 48
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def tiny_model(config: TinyConfig, cache: Path) -> tuple[str, str]:
    """Folders of the language model (with tokenizer) and the vision tower (with processor)."""
    folder = cached_folder(
        cache / f"tiny-{_key(config)}", lambda draft: _train(config, cache, draft)
    )
    return str(folder / "language"), str(folder / "vision")


def _key(config: TinyConfig) -> str:
    """Hash of the recipe, the architecture and the training data."""
    parts = [str(VERSION), str(SCENES_VERSION), json.dumps([LANGUAGE_SHAPE, VISION_SHAPE])]
    if config.text is not None:
        parts.append(hashlib.sha256(Path(config.text).read_bytes()).hexdigest())
    if config.pairs is not None:
        digest = hashlib.sha256(Path(config.pairs.annotations).read_bytes()).hexdigest()
        parts.append(digest + config.pairs.model_dump_json(exclude={"annotations", "images"}))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _train(config: TinyConfig, cache: Path, out: Path) -> None:
    scenes = scenes_data(ScenesConfig(), cache).tune
    assert scenes is not None
    samples = load_samples(config.pairs or scenes, seed=0)
    captions = [(str(s.image), s.turns[0][1]) for s in samples if s.image is not None]
    if config.text is not None:
        lines = Path(config.text).read_text(encoding="utf-8").splitlines()
        sentences = [line.strip() for line in lines if line.strip()]
    else:
        sentences = [caption for _, caption in captions]
    # always two threads, so that the weights do not depend on the caller's setting
    with seeded_apart(0), cpu_threads(2):
        tokenizer = _train_tokenizer(sentences)
        _train_language(tokenizer, sentences, out / "language")
        _train_vision(tokenizer, captions, out / "vision")


def _train_tokenizer(sentences: list[str]) -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[*SPECIAL.values(), "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*sentences, *[CAPTION_PROMPT] * 100], trainer)
    start = (SPECIAL["bos_token"], bpe.token_to_id(SPECIAL["bos_token"]))
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{start[0]} $A", special_tokens=[start]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **SPECIAL)


def _train_language(
    tokenizer: "PreTrainedTokenizerFast", sentences: list[str], folder: Path
) -> None:
    """Train next-token prediction; three of four sentences follow their own words and a question.

    In this way the model learns to answer from what precedes the question, which from stage 1 on is
    the image. Large models can do so by in-context learning.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = AutoConfig.for_model(
        **LANGUAGE_SHAPE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(shape)
    draws = generator("tiny language")
    end = str(tokenizer.eos_token)

    def loss() -> Tensor:
        chosen = torch.randint(len(sentences), (LANGUAGE_BATCH,), generator=draws).tolist()
        questions = [f"{_words(sentences[i], draws)}\n{CAPTION_PROMPT}\n" for i in chosen]
        questions[: LANGUAGE_BATCH // 4] = [""] * (LANGUAGE_BATCH // 4)
        texts = [q + sentences[i] + end for q, i in zip(questions, chosen, strict=True)]
        batch = tokenizer(
            texts,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
            return_offsets_mapping=True,
        )
        starts = batch.pop("offset_mapping")[:, :, 0]
        asked = starts < torch.tensor([len(question) for question in questions])[:, None]
        unlearnt = asked | (batch["attention_mask"] == 0)
        result: Tensor = model(
            **batch, labels=batch["input_ids"].masked_fill(unlearnt, IGNORE)
        ).loss
        return result

    _descend(model, loss, LANGUAGE_STEPS, LANGUAGE_RATE)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _words(sentence: str, draws: torch.Generator) -> str:
    """The words of a sentence in order; with probability 0.5, about one in five is dropped.

    If words are dropped from all sentences, the model does not learn to copy within its training
    steps (docs/LOG.md).
    """
    words = sentence.rstrip(" .").split()
    if torch.rand((), generator=draws) < 0.5:
        return " ".join(words)
    kept = torch.rand(len(words), generator=draws) < 0.8
    return " ".join(word for word, keep in zip(words, kept.tolist(), strict=True) if keep)


def _train_vision(
    tokenizer: "PreTrainedTokenizerFast", captions: list[tuple[str, str]], folder: Path
) -> None:
    """Train CLIP's contrastive loss on captioned images (Radford et al., arXiv:2103.00020)."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pixels = VISION_SHAPE["image_size"]
    processor = CLIPImageProcessorPil(
        size={"height": pixels, "width": pixels}, do_center_crop=False
    )
    paths = list(dict.fromkeys(path for path, _ in captions))
    images = torch.cat(
        [processor(open_rgb(Path(path)), return_tensors="pt")["pixel_values"] for path in paths]
    )
    row = {path: i for i, path in enumerate(paths)}
    text_shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_CAPTION_TOKENS,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision_shape = {k: v for k, v in VISION_SHAPE.items() if k != "model_type"}
    model = CLIPModel(
        CLIPConfig(
            text_config=text_shape,
            vision_config=vision_shape,
            projection_dim=VISION_SHAPE["projection_dim"],
        )
    )
    draws = generator("tiny vision")

    def loss() -> Tensor:
        chosen = torch.randint(len(captions), (VISION_BATCH,), generator=draws).tolist()
        texts = [captions[i][1] + str(tokenizer.eos_token) for i in chosen]
        batch = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=MAX_CAPTION_TOKENS,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        rows = [row[captions[i][0]] for i in chosen]
        result: Tensor = model(**batch, pixel_values=images[rows], return_loss=True).loss
        return result

    _descend(model, loss, VISION_STEPS, VISION_RATE)
    model.vision_model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _descend(model: torch.nn.Module, loss: Callable[[], Tensor], steps: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        torch.autograd.backward(loss())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
