"""The samples of a training data set, whatever its form."""

from dataclasses import dataclass, field
from pathlib import Path

from lnt_core.config import DatasetConfig
from lnt_core.data.annotations import read_annotations
from lnt_core.data.hub import image_folder
from lnt_core.data.image_files import ImageFiles, Keep
from lnt_core.data.layouts import some
from lnt_core.data.placeholders import IMAGE as IMAGE
from lnt_core.data.reader import Reader
from lnt_core.data.table import Table
from lnt_core.errors import DataError
from lnt_core.paths import shown


@dataclass(frozen=True)
class Sample:
    """One conversation, with any number of images."""

    images: tuple[Path, ...]
    """The images in the order in which they are shown."""
    turns: tuple[tuple[str, str], ...]
    """Questions and answers in order; each image has its ``<image>`` in a question."""
    name: str = field(default="a conversation", compare=False)
    """Where it is in the annotations, for messages: ``line 3``."""
    system: str = ""
    """What a system turn at the beginning says; empty if there is none. Only a model's own chat
    template may have a place for it: see ``Conversations.takes_system``."""


@dataclass(frozen=True)
class Read:
    """The samples of a training data set, and what was left out of them."""

    samples: tuple[Sample, ...]
    left_out: tuple[str, ...]
    """Samples that are left out, each with the reason; at most `skip_bad`."""
    shortened: dict[str, tuple[str, ...]]
    """Names of conversations of which turns are left out, by what is left out."""
    splits: tuple[str, ...]
    """The splits that the annotations have; none if they have no splits."""
    images_within: bool
    """Whether the images are within the annotations, and so not in files yet."""


def load_samples(data: DatasetConfig, *, seed: int, keep: Keep | None = None) -> list[Sample]:
    """The samples of a training data set, in the file's order; every caption is one sample.

    Args:
        data: The data set.
        seed: Seed by which `num_samples` are drawn.
        keep: As for :func:`read_samples`.

    Raises:
        DataError: As for :func:`read_samples`.
    """
    return drawn(read_samples(data, keep=keep), data, seed=seed)


def drawn(read: Read, data: DatasetConfig, *, seed: int) -> list[Sample]:
    """The `num_samples` of a data set that are drawn with ``seed``; all of them by default."""
    samples = list(read.samples)
    if data.num_samples is not None and data.num_samples < len(samples):
        import torch  # which takes a second, and is needed here alone

        from lnt_core.seeding import generator

        chosen = torch.randperm(len(samples), generator=generator("subset", seed))
        samples = [samples[i] for i in sorted(chosen[: data.num_samples].tolist())]
    return samples


def read_samples(data: DatasetConfig, *, keep: Keep | None = None) -> Read:
    """All samples of the selected split or kinds, before `num_samples` are drawn.

    Args:
        data: The data set.
        keep: Called with every image that is within the annotations.

    Raises:
        DataError: The annotations cannot be read, are of no known form, or have more unusable
            samples than `skip_bad`.
    """
    content = read_annotations(data)
    if data.kinds and not isinstance(content, list):
        other = "is a table" if isinstance(content, Table) else "has Karpathy's"
        raise DataError(
            f"`kinds` applies only to LLaVA's layout, but {shown(data.annotations)} {other}; leave "
            "it out"
        )
    reader = Reader(data, ImageFiles(image_folder(data), keep))
    samples, bad = [], []
    for found in reader.conversations(content):
        if found.unusable:
            bad.append(f"{found.name}: {found.unusable}")
        else:
            samples.append(Sample(found.images, found.turns, found.name, found.system))
    if len(bad) > data.skip_bad:
        raise DataError(
            f"{shown(data.annotations)}: {len(bad)} of {len(samples) + len(bad)} samples cannot be "
            f"used: {some(bad, '; ')}. Mend them, or leave them out with `skip_bad: {len(bad)}`"
        )
    return Read(
        tuple(samples),
        tuple(bad),
        {what: tuple(names) for what, names in reader.shortened.items()},
        tuple(reader.splits),
        bool(reader.files.within),
    )
