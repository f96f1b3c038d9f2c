"""Kinds of LLaVA's instructions, and random subsets of them."""

import json

import pytest

from lnt_core.config import DatasetConfig
from lnt_core.data.samples import load_samples

TALK = ("What colour is the bus?", "Is it moving?")
DETAIL = ("Write a detailed description of the given image.",)
REASONING = ("What challenges might the driver face?",)
MIXED = [TALK, DETAIL, REASONING, ("What's happening in the scene?",), REASONING]


def item(number: int, questions: tuple[str, ...]) -> dict:
    said = [("human", f"{questions[0]}\n<image>"), ("gpt", f"Answer {number}.")]
    for question in questions[1:]:
        said += [("human", question), ("gpt", "Yes.")]
    turns = [{"from": speaker, "value": text} for speaker, text in said]
    return {"id": str(number), "image": "a.jpg", "conversations": turns}


def dataset(folder, name: str, items, **options) -> DatasetConfig:
    path = folder / name
    path.write_text(json.dumps([item(n, questions) for n, questions in enumerate(items)]))
    (folder / "images").mkdir(exist_ok=True)
    return DatasetConfig(annotations=str(path), images=str(folder / "images"), **options)


def numbers(data: DatasetConfig, seed: int = 0) -> list[str]:
    return [s.turns[0][1].removesuffix(".")[7:] for s in load_samples(data, seed=seed)]


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        (["conversation"], ["0"]),
        (["detail"], ["1", "3"]),
        (["reasoning"], ["2", "4"]),
        (["conversation", "reasoning"], ["0", "2", "4"]),
        ([], ["0", "1", "2", "3", "4"]),
    ],
)
def test_the_mixed_file_is_told_apart_by_its_questions(kinds, chosen, tmp_path) -> None:
    assert numbers(dataset(tmp_path, "llava_instruct_80k.json", MIXED, kinds=kinds)) == chosen


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conversation_58k.json", "conversation"),
        ("detail_23k.json", "detail"),
        ("complex_reasoning_77k.json", "reasoning"),
    ],
)
def test_a_file_of_one_kind_says_so_by_its_name(name, kind, tmp_path) -> None:
    others = {"conversation", "detail", "reasoning"} - {kind}
    assert len(numbers(dataset(tmp_path, name, MIXED, kinds=[kind]))) == len(MIXED)
    assert numbers(dataset(tmp_path, name, MIXED, kinds=sorted(others))) == []


def test_a_random_subset_is_of_the_kinds_and_by_the_seed(tmp_path) -> None:
    many = [REASONING, DETAIL] * 20
    data = dataset(tmp_path, "llava_instruct_80k.json", many, kinds=["detail"], num_samples=5)
    drawn = numbers(data)
    assert len(drawn) == 5
    assert all(int(number) % 2 == 1 for number in drawn)
    assert drawn == numbers(data) != numbers(data, seed=1)
