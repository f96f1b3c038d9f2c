"""What is left out of the training data, told before a sweep starts."""

import functools
from pathlib import Path
from typing import NamedTuple

from lnt_core.accounting.answers import usable_samples, with_own_image_token, without_system
from lnt_core.config import CAPTION_PROMPT, DatasetConfig, ModelConfig
from lnt_core.config.opening import Opening
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.layouts import some
from lnt_core.data.samples import IMAGE, Read, Sample, drawn, read_samples
from lnt_core.data.scenes import PIXELS
from sweeps.config import SweepConfig
from sweeps.plan.space import value_combinations, with_values


class Stage(NamedTuple):
    """What a stage trains on."""

    key: str
    """Key of the data."""
    data: DatasetConfig | None
    """None stands for drawn scenes."""
    opening: Opening
    max_length: int
    seed: int


SCENE = (PIXELS, PIXELS)
"""Height and width of a drawn image."""
DRAWN = Sample((Path("drawn"),), ((f"{IMAGE}\n{CAPTION_PROMPT}", "A circle."),))


def data_notes(sweep: SweepConfig) -> tuple[list[str], list[str]]:
    """What is left out of the training data, and what makes it unusable.

    Returns:
        A line for each kind of thing that is left out, with its number and the first names; and
        messages about a `max_length` that leaves no conversation an answer.

    Raises:
        DataError: The data cannot be read.
    """
    notes, problems = list[str](), list[str]()
    sizes = functools.cache(lambda opening: ImageSizes(opening, {DRAWN.images[0]: SCENE}))
    read = functools.cache(lambda data, opening: read_samples(data, keep=sizes(opening).keep(data)))
    for stage in _stages(sweep):
        samples = [DRAWN]
        if stage.data is not None:
            found = read(stage.data, stage.opening)
            notes += _of_file(stage.key, stage.data, found)
            samples = drawn(found, stage.data, seed=stage.seed)
        token, bad = with_own_image_token(sweep.model, samples)
        if bad:
            problems.append(
                f"{stage.key}: {len(bad)} of {len(samples)} conversations contain {token!r}, which "
                f"the model takes for an image: {some(bad)}; take it out"
            )
            samples = [sample for sample in samples if sample.name not in bad]
            if not samples:
                continue
        if names := without_system(sweep.model, samples):
            notes.append(
                f"{stage.key}: {len(names)} of {len(samples)} conversations begin with a system "
                "turn, for which this model's conversations have no place; it is left out: "
                f"{some(names)}"
            )
        left_out, refused = _cut(stage, samples, sweep.model, sizes(stage.opening))
        notes += left_out
        problems += refused
    return list(dict.fromkeys(notes)), list(dict.fromkeys(problems))


def _cut(
    stage: Stage, samples: list[Sample], model: ModelConfig, sizes: ImageSizes
) -> tuple[list[str], list[str]]:
    """What `max_length` leaves out, and what it makes unusable."""
    usable = usable_samples(model, samples, max_length=stage.max_length, sizes=sizes)
    limit = f"{stage.key}: max_length is {stage.max_length}, but"
    notes, problems = list[str](), list[str]()
    if names := [sample.name for sample in usable.without_image]:
        problems.append(
            f"{limit} {len(names)} of {len(samples)} conversations have an image beyond that many "
            f"tokens: {some(names)}; raise it, or take them out"
        )
    if not usable.samples:
        problems.append(f"{limit} no conversation has an answer in that many tokens; raise it")
    elif names := [sample.name for sample in usable.cut_off]:
        notes.append(
            f"{stage.key}: {len(names)} of {len(samples)} conversations have no answer in their "
            f"first {stage.max_length} tokens (max_length) and are left out: {some(names)}"
        )
    return notes, problems


def _stages(sweep: SweepConfig) -> list[Stage]:
    """What each stage trains on."""
    found: list[Stage] = []
    for values in value_combinations(sweep):
        varied = with_values(sweep, values)
        data, opening = varied.trial_data, varied.trial_data.opening
        found.append(Stage("data.tune", data.tune, opening, varied.train.max_length, varied.seed))
        if varied.trial_align is not None:
            align, key = varied.trial_align, "data.align" if data.align else "data.tune"
            files = data.align or data.tune
            found.append(Stage(key, files, opening, align.max_length, align.seed))
    return list(dict.fromkeys(found))


def _of_file(key: str, data: DatasetConfig, read: Read) -> list[str]:
    lines = [
        f"{key}: {len(names)} of {len(read.samples)} conversations: each {what}: {some([*names])}"
        for what, names in read.shortened.items()
    ]
    if read.left_out:
        lines.append(
            f"{key}: {len(read.left_out)} samples are left out (skip_bad: {data.skip_bad}): "
            f"{some([*read.left_out], '; ')}"
        )
    return lines
