"""Content hashes that identify trials, stages and data, independent of where files are stored."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from lnt_core.config import (
    CaptioningConfig,
    DataConfig,
    DatasetConfig,
    FilesConfig,
    ScenesConfig,
    TrainConfig,
    TrialConfig,
)
from lnt_core.data.annotations import annotations_sha256, are_here, file_sha256
from lnt_core.data.captioned import read_captioned
from lnt_core.data.hub import image_folder
from lnt_core.data.samples import drawn, read_samples
from lnt_core.evaluation.tasks import annotation_files, make_task
from lnt_core.paths import is_file

ID_LENGTH = 12
ALIGN_FORMAT = 2
"""Incremented when a cached file of stage 1 can no longer be read; it then has another id."""


def trial_id(config: TrialConfig) -> str:
    """Hash of a trial's config and data; the same on every machine that has the same files.

    For a missing file its path is hashed instead of its content (``lnt plan --no-files``).
    """
    content = config.model_dump(mode="json", exclude={"data", "model", "align", "train"})
    content["align"] = None if config.align is None else _stage_identity(config.align)
    content["train"] = _stage_identity(config.train)
    if config.train.analyse:  # the default, which has always been so
        del content["train"]["analyse"]
    content["data"] = data_sha256(config.data)
    content["model"] = _model_identity(config)
    return _sha256(content)[:ID_LENGTH]


def align_id(config: TrialConfig) -> str:
    """Hash of what stage 1 depends on; the strategy and its learning rate are not part of it."""
    assert config.align is not None
    stage = config.data.align or config.data.tune or config.data.scenes
    assert stage is not None
    return _sha256(
        {
            "model": _model_identity(config),
            "align": _stage_identity(config.align),
            "data": stage_sha256(stage),
            "frozen_precision": config.train.precision,
            "format": ALIGN_FORMAT,
        }
        | _opened(config.data)
    )[:ID_LENGTH]


def data_sha256(data: DataConfig) -> str:
    """Hash of the annotations and images (name, size, how they are opened) of every stage."""
    stages = {"align": data.align, "tune": data.tune, "select": data.select, "scenes": data.scenes}
    hashes: dict[str, Any] = {k: stage_sha256(v) for k, v in stages.items() if v is not None}
    if data.report:
        hashes["report"] = {task.prefix: stage_sha256(task) for task in data.report}
    if data.scenes is not None and (data.scenes.select, *data.scenes.report) != ("scenes",):
        hashes["tasks"] = [data.scenes.select, *data.scenes.report]
    if data.scenes is not None and data.scenes.asks:
        hashes["questions"] = True
    return _sha256(hashes | _opened(data))


def _opened(data: DataConfig) -> dict[str, str]:
    """What is done to images when they are opened, where that is not the default."""
    found = {} if data.exif_orientation else {"exif_orientation": "ignored"}
    return found if data.max_pixels is None else found | {"max_pixels": str(data.max_pixels)}


def _stage_identity(stage: TrainConfig) -> dict[str, Any]:
    """A stage's config without what changes no digit: how often its state is saved."""
    content = stage.model_dump(
        mode="json", exclude={"checkpoint_every_steps", "checkpoint_every_s"}
    )
    if stage.micro_batch_by is None:  # the default, of which older trials knew nothing
        del content["micro_batch_by"]
    return content


def _model_identity(config: TrialConfig) -> dict[str, Any]:
    content = config.model.model_dump(mode="json", exclude={"shapes"})
    tiny = config.model.tiny
    if tiny and not isinstance(tiny, bool):
        content["tiny"] = {
            "text": _text_sha256(tiny.text) if tiny.text else None,
            "pairs": stage_sha256(tiny.pairs) if tiny.pairs else None,
        }
    return content


@lru_cache(maxsize=64)
def stage_sha256(stage: Any) -> str:
    """Hash of the data of one stage; cached, so files must not change while a sweep runs."""
    if isinstance(stage, ScenesConfig):  # as stage 1 has them: captions alone
        return _sha256(
            stage.model_dump(mode="json", exclude={"select", "report", "report_when", "questions"})
        )
    if isinstance(stage, FilesConfig):
        content = stage.model_dump(mode="json", exclude={"annotations", "images", "name", "when"})
        here, folder = are_here(stage), image_folder(stage)
        content["annotations"] = annotations_sha256(stage) if here else stage.annotations
        paths = _images(stage) if here else []
    else:
        content = stage.model_dump(
            mode="json", exclude={*stage.files, *stage.folders, "name", "when"}
        )
        files, folder = annotation_files(stage), stage.images
        content["files"] = {name: _text_sha256(str(path)) for name, path in files.items()}
        here = all(is_file(path) for path in files.values())
        paths = [q.image for q in make_task(stage).questions if q.image] if here else []
    content["images"] = [_name_and_size(path, folder) for path in dict.fromkeys(paths)]
    return _sha256(content)


def _images(stage: FilesConfig) -> list[Path]:
    """The files of images; none if images are within the annotations."""
    if isinstance(stage, CaptioningConfig):
        splits = [split for split in (stage.split, stage.report_split) if split]
        found = read_captioned(stage, set(splits))
        items = [item for split in splits for item in found.of_split[split][: stage.num_images]]
        return [] if found.images_within else [item.image for item in items]
    assert isinstance(stage, DatasetConfig)
    read = read_samples(stage)
    samples = [] if read.images_within else drawn(read, stage, seed=0)
    return [path for sample in samples for path in sample.images]


def _text_sha256(path: str) -> str:
    return file_sha256(path) if is_file(path) else path


def _name_and_size(path: Path, folder: str) -> tuple[str, int]:
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return name, path.stat().st_size if is_file(path) else -1


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
