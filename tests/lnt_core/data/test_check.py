"""Problems with the data files of a trial."""

import json

import pytest

from lnt_core.config import DataConfig, ModelConfig
from lnt_core.data import layouts
from lnt_core.data.check import image_problems
from lnt_core.evaluation.check import data_problems


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


KARPATHY = f"is not in Karpathy's layout {layouts.KARPATHY}"
LLAVA = f"is not in LLaVA's layout {layouts.LLAVA}"


def entry(**changes) -> dict:
    """An image in Karpathy's layout."""
    return {"filename": "a", "split": "train", "sentences": [{"raw": "A dog."}], **changes}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"images": [entry(), entry(filename=5)]},
            f"{KARPATHY}: images[1].filename is 5, but must be a valid string",
        ),
        (
            {"images": [entry(sentences=[{"tokens": ["a"]}])]},
            f"{KARPATHY}: images[0].sentences[0].raw is missing",
        ),
        (
            {"images": [entry(), entry(sentences=[{"raw": "a"}, {"raw": 5}])]},
            f"{KARPATHY}: images[1].sentences[1].raw is 5, but must be a valid string",
        ),
        (
            {"images": [entry(filepath=["train2014"])]},
            f"{KARPATHY}: images[0].filepath is ['train2014'], but must be a valid string",
        ),
        ({"images": 5}, f"{KARPATHY}: images is 5, but must be a valid list"),
        (
            [{"image": "a.png", "conversations": [{"value": "q"}]}],
            f"{LLAVA}: [0].conversations[0].from is missing",
        ),
        (
            [{"image": 7, "conversations": []}, 5],
            f"{LLAVA}: [0].image is 7, but must be a valid string; "
            "[1] is 5, but must be a valid dictionary",
        ),
        ([5] * 7, "; [4] is 5, but must be a valid dictionary and 2 more"),
    ],
)
def test_an_entry_of_another_layout_is_named(content, told, tmp_path) -> None:
    found = problems(tmp_path, content)
    assert any(problem.endswith(told) for problem in found), found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 3000, "recursion limit exceeded"),
        ('{"images": [{"filename": "\\ud800"}]}', "hex escape at line 1 column 33"),
        ("9" * 6000, "number out of range"),
        ('{"images": ', "EOF while parsing"),
        (b"\xff\xfe", "expected value"),
        (b"", "EOF while parsing"),
    ],
)
def test_what_is_not_json_is_one_problem(text, told, tmp_path) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "tune.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    files = {"annotations": str(path), "images": str(tmp_path / "images")}
    data = DataConfig.model_validate({"tune": files, "select": {"task": "coco", **files}})
    found = data_problems(ModelConfig(tiny=True), data)
    assert [f"{path} is not JSON: " in problem and told in problem for problem in found] == [
        True,
        True,
    ], found


def selected(folder, *sentences: list[str], **options) -> list[str]:
    """Problems of a selection task on images with these captions."""
    from PIL import Image

    names = [f"{number}.png" for number in range(len(sentences))]
    for name in names:
        Image.new("RGB", (2, 2)).save(folder / name)
    images = [
        entry(filename=name, split="val", sentences=[{"raw": raw} for raw in captions])
        for name, captions in zip(names, sentences, strict=True)
    ]
    (folder / "val.json").write_text(json.dumps({"images": images}))
    files = {"annotations": str(folder / "val.json"), "images": str(folder)}
    given = {"task": "coco", "report_split": None, **files, **options}
    scenes = {"tune": {"split": "val", **files}, "select": given}
    return data_problems(ModelConfig(tiny=True), DataConfig.model_validate(scenes))


def test_an_image_without_a_word_in_its_captions_is_named(tmp_path) -> None:
    assert selected(tmp_path, ["A dog.", "..."], ["?!", " - "], [], ["Un chien."]) == [
        "data.select.annotations: 2 images of split 'val' without a caption that has a word, and "
        "so without a score: 1.png (number 2 of the split): ('?!', '-'), 2.png (number 3 of the "
        "split): ()"
    ]


def test_text_examples_need_images_to_be_drawn_from(tmp_path) -> None:
    assert selected(tmp_path, ["A dog."], ["A cat."], text_examples=3) == [
        "data.select.text_examples is 3, but must be at most 0; they are drawn from the split "
        "'train', which has no more images"
    ]


def test_a_caption_with_the_image_token_is_named(tmp_path) -> None:
    found = selected(tmp_path, ["A dog.", "An <image> of it."], ["A cat."])
    assert found == [
        "data.tune.annotations: '<image>' is the image token, which only a first question may "
        "contain: 'An <image> of it.'"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no file {path}"),
        (b"\xff", "{path} is not text in UTF-8: invalid start byte at 0"),
        (b" \n", "{path} is empty"),
    ],
)
def test_the_tiny_models_text_is_read(content, told, tmp_path) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    model = ModelConfig.model_validate({"tiny": {"text": str(path)}})
    found = data_problems(model, DataConfig.model_validate({"scenes": {}}))
    assert found == [f"model.tiny.text: {told.format(path=path)}"]


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
        f"data.tune.images: 1 image that cannot be decoded in {folder}: text.jpg (it is not an "
        "image in a format that Pillow reads)",
    ]


def test_names_that_no_file_can_have_are_told_like_any_other(tmp_path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    names = ["a\0b", "x" * 5000, "loop", "\ud800", ""]
    (problem,) = image_problems("data.tune", str(tmp_path), [tmp_path / name for name in names])
    assert problem.startswith(f"data.tune.images: 5 images not in the folder {tmp_path}: 'a\\x00b'")
    assert len(problem) < 1000


def test_more_images_than_the_split_has_are_refused(tmp_path) -> None:
    assert selected(tmp_path, ["A dog."], ["A cat."], num_images=3) == [
        "data.select.num_images is 3, but must be at most 2, the size of split 'val'"
    ]
    assert selected(tmp_path, ["A dog."], ["A cat."], num_images=2) == []
