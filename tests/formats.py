"""The same photographs with their captions in every form that annotations may have."""

import json
import os
from pathlib import Path

import pytest

from lnt_core.config import CAPTION_PROMPT

ROOT = Path(__file__).parents[1]
REAL = Path(os.environ.get("LNT_REAL_DATA", ROOT.parent / "shared" / "data" / "flickr8k"))
IMAGES = REAL / "images"
COUNTS = {"train": 12, "val": 4, "test": 4}
"""Photographs of each split."""
COLUMNS = {"image": "photo", "answer": "captions", "split": "part"}
needs_photographs = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs at {REAL}")


def write_formats(folder: Path) -> None:
    """Write a file of each form, for ``IMAGES``.

    ``karpathy.json``, ``captions.jsonl`` and ``captions.parquet`` (with ``COLUMNS``) have all
    splits, ``messages.jsonl`` and ``messages.parquet`` the train split.
    """
    import datasets

    datasets.disable_progress_bars()
    whole = json.loads((REAL / "dataset_flickr8k.json").read_text())
    items = [
        item
        for split, count in COUNTS.items()
        for item in [i for i in whole["images"] if i["split"] == split][:count]
    ]
    (folder / "karpathy.json").write_text(json.dumps({"images": items}))
    said = [
        {"messages": messages(sentence["raw"]), "images": [item["filename"]]}
        for item in items
        if item["split"] == "train"
        for sentence in item["sentences"]
    ]
    write_lines(folder / "messages.jsonl", said)
    of_images = datasets.Features(
        {
            "messages": [{"role": datasets.Value("string"), "content": datasets.Value("string")}],
            "images": datasets.List(datasets.Image()),
        }
    )
    within = [{**row, "images": [stored(name) for name in row["images"]]} for row in said]
    datasets.Dataset.from_list(within, features=of_images).to_parquet(folder / "messages.parquet")
    captions = [
        {
            "photo": item["filename"],
            "captions": [sentence["raw"] for sentence in item["sentences"]],
            "part": item["split"],
        }
        for item in items
    ]
    write_lines(folder / "captions.jsonl", captions)
    within = [{**row, "photo": stored(row["photo"])} for row in captions]
    table = datasets.Dataset.from_list(within).cast_column("photo", datasets.Image())
    table.to_parquet(folder / "captions.parquet")


def stored(name: str) -> dict:
    """A photograph as `datasets` stores it within a table."""
    return {"bytes": (IMAGES / name).read_bytes(), "path": name}


def messages(answer: str, question: str = f"<image>\n{CAPTION_PROMPT}") -> list[dict[str, str]]:
    """One question with its answer, as chat templates have them."""
    said = (("user", question), ("assistant", answer))
    return [{"role": role, "content": content} for role, content in said]


def write_lines(path: Path, rows: list) -> None:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
