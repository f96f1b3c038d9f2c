"""What is left out of the training data, told before a sweep starts."""

import functools
from pathlib import Path

from lnt_core.accounting.answers import usable_samples, with_own_image_token, without_system
from lnt_core.config import CAPTION_PROMPT, DatasetConfig
from lnt_core.data.layouts import some
from lnt_core.data.samples import IMAGE, Read, Sample, drawn, read_samples
from sweeps.config import SweepConfig
from sweeps.plan.space import value_combinations, with_values

Stage = tuple[str, DatasetConfig | None, int, int]
"""Key of the data, the data, `max_length` and seed; None stands for drawn scenes."""
DRAWN = Sample((Path("drawn"),), ((f"{IMAGE}\n{CAPTION_PROMPT}", "A circle."),))


def data_notes(sweep: SweepConfig) -> tuple[list[str], list[str]]:
    """What is left out of the training data, and what makes it unusable.

    Returns:
        A line for each kind of thing that is left out, with its number and the first names; and
        messages about a `max_length` that leaves no conversation an answer.

    Raises:
        DataError: The data cannot be read.
    """
    notes, problems = [], []
    read = functools.cache(read_samples)
    for key, data, max_length, seed in _stages(sweep):
        samples = [DRAWN]
        if data is not None:
            notes += _of_file(key, data, read(data))
            samples = drawn(read(data), data, seed=seed)
        token, bad = with_own_image_token(sweep.model, samples)
        if bad:
            problems.append(
                f"{key}: {len(bad)} of {len(samples)} conversations contain {token!r}, which the "
                f"model takes for an image: {some(bad)}; take it out"
            )
            continue
        if names := without_system(sweep.model, samples):
            notes.append(
                f"{key}: {len(names)} of {len(samples)} conversations begin with a system turn, "
                f"for which this model's conversations have no place; it is left out: {some(names)}"
            )
        usable = usable_samples(sweep.model, samples, max_length=max_length)
        if names := [sample.name for sample in usable.without_image]:
            problems.append(
                f"{key}: max_length is {max_length}, but {len(names)} of {len(samples)} "
                f"conversations have an image beyond that many tokens: {some(names)}; raise it, or "
                "take them out"
            )
        if not usable.samples:
            problems.append(
                f"{key}: max_length is {max_length}, but no conversation has an answer in that "
                "many tokens; raise it"
            )
        elif usable.cut_off:
            names = [sample.name for sample in usable.cut_off]
            total = len(usable.cut_off) + len(usable.samples)
            notes.append(
                f"{key}: {len(names)} of {total} conversations have no answer in their first "
                f"{max_length} tokens (max_length) and are left out: {some(names)}"
            )
    return list(dict.fromkeys(notes)), list(dict.fromkeys(problems))


def _stages(sweep: SweepConfig) -> list[Stage]:
    """What each stage trains on."""
    found: list[Stage] = []
    for values in value_combinations(sweep):
        varied = with_values(sweep, values)
        data = varied.trial_data
        found.append(("data.tune", data.tune, varied.train.max_length, varied.seed))
        if varied.trial_align is not None:
            align, key = varied.trial_align, "data.align" if data.align else "data.tune"
            found.append((key, data.align or data.tune, align.max_length, align.seed))
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
