"""Tables that the `datasets` library has written: parquet, folders, the Hub's cache."""

import io
import json

import pytest
from PIL import Image

from lnt_core.config import DataConfig, DatasetConfig, ModelConfig
from lnt_core.data.hub import image_folder
from lnt_core.data.samples import read_samples
from lnt_core.errors import DataError
from lnt_core.evaluation.check import data_problems
from tests.formats import messages


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (shade, 0, 0)).save(file, "png")
    return file.getvalue()


def table(*images, **columns):
    """A data set with an image in each row, given by the content of its file."""
    import datasets

    datasets.disable_progress_bars()
    stored = [{"bytes": content, "path": None} for content in images]
    rows = {"photo": stored, "say": ["A."] * len(images)} | columns
    return datasets.Dataset.from_dict(rows).cast_column("photo", datasets.Image())


PAIRS = {"image": "photo", "answer": "say"}


def read(path, **options):
    return read_samples(DatasetConfig(annotations=str(path), **{"columns": PAIRS} | options))


def test_every_place_gives_the_same_samples(tmp_path) -> None:
    import datasets

    rows, others = table(png(0), png(1), png(0)), table(png(9))
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "saved")
    both = datasets.DatasetDict({"train": rows, "validation": others})
    both.save_to_disk(tmp_path / "both")
    (tmp_path / "folder").mkdir()
    rows.to_parquet(tmp_path / "folder" / "train-00000-of-00001.parquet")
    others.to_parquet(tmp_path / "folder" / "validation-00000-of-00001.parquet")
    found = {name: read(tmp_path / name) for name in ("rows.parquet", "saved", "both", "folder")}
    names = {n: [s.images[0].name for s in of_place.samples] for n, of_place in found.items()}
    assert len(set(names["rows.parquet"])) == 2  # the first and the last are one file
    assert list(names.values()) == [names["rows.parquet"]] * 4
    assert [of_place.splits for of_place in found.values()] == [
        (),
        (),
        *[("train", "validation")] * 2,
    ]
    assert all(of_place.images_within for of_place in found.values())
    for folder in ("both", "folder"):
        assert len(read(tmp_path / folder, split="validation").samples) == 1
        with pytest.raises(DataError, match="has no split 'val'; its splits are 'train', 'valid"):
            read(tmp_path / folder, split="val")


def test_conversations_are_read_in_arrows_own_form(tmp_path) -> None:
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "What?"}]
    said = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": "A."}]},
    ]
    table(png(0), messages=[said]).to_parquet(tmp_path / "rows.parquet")
    columns = {"messages": "messages", "image": "photo"}
    (sample,) = read(tmp_path / "rows.parquet", columns=columns).samples
    assert sample.turns == (("<image>\nWhat?", "A."),)


def test_a_bad_row_is_named_with_its_number(tmp_path) -> None:
    table(png(0), b"no image", png(1)).save_to_disk(tmp_path / "saved")
    told = (
        "row [1]: an image given by its content cannot be decoded: it is not an image in a format"
    )
    with pytest.raises(
        DataError, match=f"1 of 3 samples cannot be used: {told}".replace("[", r"\[")
    ):
        read(tmp_path / "saved")
    assert read(tmp_path / "saved", skip_bad=1).left_out[0].startswith(told)


def test_images_are_in_the_folder_of_the_annotations_by_default(tmp_path) -> None:
    def folder(annotations, **options) -> str:
        return image_folder(DatasetConfig(annotations=str(annotations), **options))

    assert folder(tmp_path / "a.jsonl") == str(tmp_path)
    assert folder(tmp_path) == str(tmp_path)
    assert folder(tmp_path, images="elsewhere") == "elsewhere"


def test_images_are_all_within_the_table_or_all_apart(tmp_path) -> None:
    import datasets

    photos = [{"bytes": None, "path": "a.png"}, {"bytes": png(0), "path": "b.png"}]
    rows = datasets.Dataset.from_dict({"photo": photos, "say": ["A."] * 2})
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"row \[1\]: some images of the table are within it, othe"):
        read(tmp_path / "rows.parquet")


def test_what_datasets_cannot_read_is_one_message(tmp_path) -> None:
    table(png(0)).to_parquet(tmp_path / "rows.parquet")
    whole = (tmp_path / "rows.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read: "):
        read(tmp_path / "rows.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty cannot be read: "):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="`subset` is for a folder or a data set of the Hub, but "):
        read(tmp_path / "rows.parquet", subset="easy")


def test_a_folder_of_images_of_the_hub_is_links_to_files_elsewhere(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "datasets--someone--drawings"
    snapshot = cached / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for folder in ("refs", "blobs"):
        (cached / folder).mkdir()
    (cached / "refs" / "main").write_text("0123")
    (cached / "blobs" / "abc").write_bytes(png(0))
    (snapshot / "a.png").symlink_to("../../blobs/abc")
    (snapshot / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "A."}\n')
    name = "hf://datasets/someone/drawings"
    found = read(name, columns={"image": "image", "answer": "text"}, skip_bad=1)
    assert [sample.images for sample in found.samples] == [(snapshot / "a.png",)]
    tune = {"annotations": name, "columns": {"image": "image", "answer": "text"}}
    data = DataConfig.model_validate({"tune": tune, "select": {"task": "coco", **tune}})
    problems = data_problems(ModelConfig(tiny=True), data)
    assert [p for p in problems if p.startswith("data.tune")] == []


def test_a_data_set_of_the_hub_is_read_from_the_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub = DatasetConfig(annotations="hf://datasets/someone/photographs")
    with pytest.raises(DataError) as refused:
        read_samples(hub)
    assert str(refused.value) == (
        "there is no data set someone/photographs in the Hugging Face cache; download it with `hf "
        "download --repo-type dataset someone/photographs`"
    )
    cached = tmp_path / "datasets--someone--photographs"
    snapshot = cached / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    rows = [{"messages": messages("A.", "Q?")}, {"messages": messages("B.", "Q?")}]
    for subset, count in (("easy", 1), ("hard", 2)):
        (snapshot / subset).mkdir()
        lines = [json.dumps(row) + "\n" for row in rows[:count]]
        (snapshot / subset / "train.jsonl").write_text("".join(lines))
    configs = [f"- config_name: {s}\n  data_files: {s}/train.jsonl\n" for s in ("easy", "hard")]
    (snapshot / "README.md").write_text(f"---\nconfigs:\n{''.join(configs)}---\n")
    assert len(read_samples(hub.model_copy(update={"subset": "hard"})).samples) == 2
    with pytest.raises(DataError, match=r"photographs cannot be read: .*easy.*hard"):
        read_samples(hub)
