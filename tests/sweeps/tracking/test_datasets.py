"""Which data a run used, as MLflow's own store keeps it."""

import json
from pathlib import Path

import pytest

from lnt_core.config import DataConfig, ScenesConfig
from sweeps.tracking.datasets import dataset_inputs

LLAVA = [
    {
        "id": "1",
        "image": "a.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat?"},
            {"from": "gpt", "value": "A cat."},
        ],
    }
]


@pytest.fixture
def run(client, tmp_path):
    return client, client.create_run(client.create_experiment(str(tmp_path))).info.run_id


def logged(run, data: DataConfig) -> dict[str, tuple[str, str]]:
    """Context to name and digest, read back; logged twice, as after a lost answer."""
    client, run_id = run
    client.log_inputs(run_id, dataset_inputs(data))
    client.log_inputs(run_id, dataset_inputs(data))
    inputs = client.get_run(run_id).inputs.dataset_inputs
    found = {i.tags[0].value: (i.dataset.name, i.dataset.digest) for i in inputs}
    assert len(found) == len(inputs)
    return found


def test_drawn_scenes_have_their_three_splits(run) -> None:
    found = logged(run, DataConfig(scenes=ScenesConfig()))
    assert set(found) == {"training", "validation", "test"}


def test_files_are_named_by_their_split_and_content(run, tmp_path: Path) -> None:
    (tmp_path / "tune.json").write_text(json.dumps(LLAVA))
    images = [
        {"filename": f"{i}.jpg", "split": split, "sentences": [{"raw": "a dog"}]}
        for i, split in enumerate(("train", "val", "val", "test", "test"))
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    data = DataConfig.model_validate(
        {
            "tune": {"annotations": str(tmp_path / "tune.json"), "images": str(tmp_path)},
            "select": {
                "task": "flickr30k",
                "annotations": str(tmp_path / "dataset.json"),
                "images": str(tmp_path),
            },
        }
    )
    found = logged(run, data)
    names = {context: name for context, (name, _) in found.items()}
    assert names == {"training": "tune", "validation": "dataset val", "test": "dataset test"}
    assert found["training"][1] != found["validation"][1]
