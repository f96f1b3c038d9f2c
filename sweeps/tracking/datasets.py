"""The data of a trial as MLflow datasets: source, split, content hash and use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.config import AnyTaskConfig, CaptioningConfig, DataConfig, DatasetConfig
from lnt_core.identity import stage_sha256

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


DIGEST_LENGTH = 36
"""Longest digest that MLflow accepts, in characters."""
CONTEXT = "mlflow.data.context"
"""Tag of a dataset that MLflow shows as its use in the run."""


def dataset_inputs(data: DataConfig) -> list["DatasetInput"]:
    """One dataset for each use of the data: stage 1, training, selection, reporting."""
    if data.scenes is not None:
        digest = stage_sha256(data.scenes)
        source = {"tags": {"mlflow.source.name": "lnt_core.data.scenes"}}
        size = data.scenes.model_dump(mode="json")
        return [
            _input(f"scenes {split}", digest, "code", source, size, context)
            for context, split in (("training", "train"), ("validation", "val"), ("test", "test"))
        ]
    found = [
        _of_files(stage, context)
        for stage, context in ((data.align, "align"), (data.tune, "training"))
        if stage is not None
    ]
    if data.select is not None:
        found += _of_task(data.select, "validation")
    for task in data.report:
        found += _of_task(task, "test")
    return found


def _of_task(task: AnyTaskConfig, context: str) -> list["DatasetInput"]:
    if isinstance(task, CaptioningConfig):
        uses = {context: task.split, "test": task.report_split}
        return [_of_files(task, use, split) for use, split in uses.items() if split]
    places = {key: getattr(task, key) for key in (*task.files, *task.folders)}
    source = {"uri": next(iter(places.values()))}
    return [_input(task.prefix, stage_sha256(task), "local", source, places, context)]


def _of_files(
    stage: DatasetConfig | CaptioningConfig, context: str, split: str = ""
) -> "DatasetInput":
    name = f"{Path(stage.annotations).stem} {split}".strip()
    profile = {"annotations": stage.annotations, "images": stage.images}
    profile |= {"split": split} if split else {}
    source = {"uri": stage.annotations}
    return _input(name, stage_sha256(stage), "local", source, profile, context)


def _input(
    name: str,
    digest: str,
    source_type: str,
    source: Mapping[str, object],
    profile: Mapping[str, object],
    context: str,
) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name,
        digest=digest[:DIGEST_LENGTH],
        source_type=source_type,
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(CONTEXT, context)])
