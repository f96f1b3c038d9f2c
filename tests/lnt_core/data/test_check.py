"""Problems with the data files of a trial."""

import json

import pytest

from lnt_core.config import DataConfig, ModelConfig
from lnt_core.data.check import data_problems, image_problems


def problems(folder, content, **options) -> list[str]:
    """Problems of a data set whose annotations have this content."""
    (folder / "tune.json").write_text(json.dumps(content))
    (folder / "images").mkdir()
    data = {
        "tune": {"annotations": str(folder / "tune.json"), "images": str(folder / "images")}
        | options,
        "select": {"task": "coco", "annotations": "none.json", "images": str(folder)},
    }
    return data_problems(ModelConfig(tiny=True), DataConfig.model_validate(data))


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"filename": 5, "split": "train", "sentences": []}]},
        {"images": [{"filename": "a", "split": "train", "sentences": [{"tokens": ["a"]}]}]},
        {"images": [{"filename": "a", "split": "train", "sentences": [{"raw": 5}]}]},
        [{"image": "a.png", "conversations": [{"value": "q"}]}],
    ],
    ids=["a number as file name", "no raw caption", "a number as caption", "no speaker"],
)
def test_entries_of_another_layout_are_refused(content, tmp_path) -> None:
    found = problems(tmp_path, content)
    told = f"data.tune.annotations: {tmp_path / 'tune.json'} has neither of the known layouts: "
    assert any(problem.startswith(told) for problem in found)


def asked(question: str) -> dict:
    """A conversation about an image in LLaVA's layout."""
    turns = [{"from": "human", "value": f"{question}\n<image>"}, {"from": "gpt", "value": "A."}]
    return {"id": "1", "image": "a.jpg", "conversations": turns}


INSTRUCTIONS = [
    asked("Write a detailed description of the given image."),
    asked("What challenges might the driver face?"),
]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kinds": ["conversation"]}, "data.tune.kinds: {path} has no samples of conversation"),
        ({"num_samples": 9}, "data.tune.num_samples is 9, but must be at most 2"),
        (
            {"num_samples": 2, "kinds": ["detail"]},
            "data.tune.num_samples is 2, but must be at most 1",
        ),
    ],
)
def test_a_subset_that_is_not_there_is_refused(options, problem, tmp_path) -> None:
    found = problems(tmp_path, INSTRUCTIONS, **options)
    assert problem.format(path=tmp_path / "tune.json") in found


def test_bad_images_are_told_apart(tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "text.jpg").write_text("not an image")
    names = ["text.jpg", "gone.jpg", "../out.jpg"]
    problems = image_problems("data.tune", str(folder), [folder / name for name in names])
    assert problems == [
        f"data.tune.images: 1 image outside the folder {folder}: ../out.jpg",
        f"data.tune.images: 1 image not in the folder {folder}: gone.jpg",
        f"data.tune.images: 1 image that cannot be decoded in {folder}: text.jpg",
    ]
