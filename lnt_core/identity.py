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
    LossConfig,
    ScenesConfig,
    TaskConfig,
    TrialConfig,
)
from lnt_core.data.samples import load_captioned, load_samples
from lnt_core.errors import DataError
from lnt_core.evaluation.tasks import annotation_files, make_task
from lnt_core.paths import is_file, shown

ID_LENGTH = 12


def trial_id(config: TrialConfig) -> str:
    """Hash of a trial's config and data; the same on every machine that has the same files.

    For a missing file its path is hashed instead of its content (``lnt plan --no-files``).
    """
    content = config.model_dump(mode="json", exclude={"data", "model"})
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
            "align": config.align.model_dump(mode="json"),
            "data": stage_sha256(stage),
            "frozen_precision": config.train.precision,
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
    """What tells images as they are stored from images turned upright, which is the default."""
    return {} if data.exif_orientation else {"exif_orientation": "ignored"}


def _model_identity(config: TrialConfig) -> dict[str, Any]:
    content = config.model.model_dump(mode="json", exclude={"shapes"})
    tiny = config.model.tiny
    if tiny and not isinstance(tiny, bool):
        content["tiny"] = {
            "text": _file_sha256(tiny.text) if tiny.text else None,
            "pairs": stage_sha256(tiny.pairs) if tiny.pairs else None,
        }
    return content


@lru_cache(maxsize=64)
def stage_sha256(stage: Any) -> str:
    """Hash of the data of one stage; cached, so files must not change while a sweep runs."""
    if isinstance(stage, ScenesConfig):  # as stage 1 has them: captions alone
        return _sha256(stage.model_dump(mode="json", exclude={"select", "report", "questions"}))
    is_task = isinstance(stage, TaskConfig)
    files = stage.files if is_task else ("annotations",)
    folders = stage.folders if is_task else ("images",)
    content = stage.model_dump(mode="json", exclude={*files, *folders, "name"})
    if is_task and not isinstance(stage, CaptioningConfig | LossConfig):
        content["files"] = {
            name: _file_sha256(str(path)) for name, path in annotation_files(stage).items()
        }
    else:
        content["annotations"] = _file_sha256(stage.annotations)
    content["images"] = [_name_and_size(path, stage.images) for path in _images(stage)]
    return _sha256(content)


def _images(stage: DatasetConfig | TaskConfig) -> list[Path]:
    if isinstance(stage, CaptioningConfig):
        if not is_file(stage.annotations):
            return []
        splits = filter(None, (stage.split, stage.report_split))
        return [item.image for split in splits for item in load_captioned(stage, split)]
    if isinstance(stage, DatasetConfig):
        if not is_file(stage.annotations):
            return []
        images = [sample.image for sample in load_samples(stage, seed=0)]
    elif all(is_file(path) for path in annotation_files(stage).values()):
        images = [question.image for question in make_task(stage).questions]
    else:
        images = []
    return list(dict.fromkeys(image for image in images if image is not None))


def _name_and_size(path: Path, folder: str) -> tuple[str, int]:
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return name, path.stat().st_size if is_file(path) else -1


def _file_sha256(path: str) -> str:
    if not is_file(path):
        return path
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
