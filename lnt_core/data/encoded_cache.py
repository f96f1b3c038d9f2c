"""Encoded conversations are made once, kept in the cache, and mapped by all who need them."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers
import torch
import transformers

from lnt_core import __version__
from lnt_core.cached import cached_folder, is_whole
from lnt_core.config import DatasetConfig
from lnt_core.data.conversation import Conversations
from lnt_core.data.encoded_files import EncodedFiles, write_encoded
from lnt_core.data.encoding import encode_samples
from lnt_core.data.hub import data_place
from lnt_core.data.processed import ProcessedConversations
from lnt_core.data.samples import Sample, load_samples
from lnt_core.distributed.turn import turn
from lnt_core.paths import is_file, is_folder

logger = logging.getLogger(__name__)
FORMAT = 1
"""Raised when the files, or the ids of the same conversations, are others than before."""
STATES = "image_states.npy"
"""Size and time of each image, int64 of shape (images, 2), if numbers of tokens depend on them."""


def encoded_samples(
    data: DatasetConfig, conversations: Conversations, *, seed: int, max_length: int, cache: Path
) -> EncodedFiles:
    """The encoded samples of a training data set, from the cache or made now.

    Each process may call this by itself: one makes the files of a node, or of all nodes that share
    the cache, and others wait for it. What is kept is found without reading the annotations, unless
    `skip_bad` is set: then images decide which samples there are.

    Args:
        data: The data set, with its images in files.
        conversations: Encodes them.
        seed: Seed by which `num_samples` are drawn.
        max_length: Longer conversations are truncated to this many tokens.
        cache: Folder kept between runs.

    Raises:
        ConfigError: The file system of the cache has no locks.
        DataError: As for ``load_samples`` and ``encode_samples``.
    """
    samples = load_samples(data, seed=seed) if data.skip_bad else None
    folder = cache / "encoded" / _key(data, conversations, samples, seed, max_length)
    found = _kept(folder)
    if found is None:
        with turn(folder, alone=True):
            found = _kept(folder)  # made by another process meanwhile
            if found is None:
                if is_whole(folder):  # but images have changed since
                    shutil.rmtree(folder)
                samples = samples or load_samples(data, seed=seed)
                found = _made(folder, conversations, samples, max_length)
    if found.num_left_out:
        logger.warning(
            "%d of %d conversations have no answer in their first %d tokens: left out",
            found.num_left_out,
            found.num_left_out + len(found),
            max_length,
        )
    return found


def _made(
    folder: Path, conversations: Conversations, samples: Sequence[Sample], max_length: int
) -> EncodedFiles:
    """Made by this process, whose turn it is."""
    images = list(dict.fromkeys(path for sample in samples for path in sample.images))
    states = _states(images) if conversations.sees_images else None  # before they are opened

    def make(draft: Path) -> None:
        processes = torch.get_num_threads()
        encoded = encode_samples(conversations, samples, max_length=max_length, processes=processes)
        write_encoded(draft, encoded, images=images, num_samples=len(samples))
        if states is not None:
            np.save(draft / STATES, states)

    return EncodedFiles(cached_folder(folder, make, alone=True))


def _kept(folder: Path) -> EncodedFiles | None:
    """What is kept in a folder; None if it is not there or not whole, or images have changed."""
    if not is_whole(folder):
        return None
    found = EncodedFiles(folder)
    if is_file(folder / STATES):
        before, now = np.load(folder / STATES), _states(found.image_paths())
        return found if np.array_equal(before, now) else None
    return found


def _states(images: Iterable[Path]) -> npt.NDArray[np.int64]:
    """Size and time of each image; -1 of what is no file."""
    states = [path.stat() if is_file(path) else None for path in images]
    rows = [(-1, -1) if state is None else (state.st_size, state.st_mtime_ns) for state in states]
    return np.array(rows, np.int64)


def _key(
    data: DatasetConfig,
    conversations: Conversations,
    samples: Sequence[Sample] | None,
    seed: int,
    max_length: int,
) -> str:
    """Hash of everything that the ids depend on, images aside."""
    content = {
        "format": [FORMAT, __version__, transformers.__version__, tokenizers.__version__],
        "data": data.model_dump(mode="json"),
        "annotations": _annotations_state(data_place(data)),
        "samples": None if samples is None else [repr(sample) for sample in samples],
        "seed": seed if data.num_samples is not None else None,
        "max_length": max_length,
        "conversations": _conversations_state(conversations),
    }
    plain = json.dumps(content, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:32]


def _annotations_state(place: Path) -> list[Any]:
    """Name, size, time and inode of each file of the annotations."""
    files = sorted(place.rglob("*")) if is_folder(place) else [place]
    states = [(str(path), path.stat()) for path in files if is_file(path)]
    return [[name, s.st_size, s.st_mtime_ns, s.st_ino] for name, s in states]


def _conversations_state(conversations: Conversations) -> dict[str, Any]:
    tokenizer, template = conversations.tokenizer, conversations.template
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    state = {
        "kinds": [type(conversations).__name__, type(tokenizer).__name__],
        # a call with padding or truncation leaves these two as they were for it
        "tokenizer": {k: v for k, v in backend.items() if k not in ("padding", "truncation")},
        "special": [str(tokenizer.special_tokens_map), tokenizer.model_input_names],
        "template": None if template is None else [template.end, template.adds_end],
        "chat_template": tokenizer.chat_template,
        "style": conversations.style,
        "image": [conversations.image_token, conversations.num_image_tokens],
    }
    if isinstance(conversations, ProcessedConversations):
        processor = conversations.processor
        state["processor"] = [type(processor).__name__, str(processor.to_dict())]
        state["processor"] += [processor.chat_template, str(conversations.opening)]
    return state
