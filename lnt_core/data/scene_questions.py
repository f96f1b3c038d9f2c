"""Questions about drawn scenes, written in the published layouts, and the data config of scenes.

Each layout is as its benchmark publishes it, so that the real readers read them.
"""

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnt_core.cached import cached_folder
from lnt_core.config import (
    CAPTION_PROMPT,
    AnyTaskConfig,
    CaptioningConfig,
    DataConfig,
    DatasetConfig,
    ExactMatchConfig,
    LossConfig,
    MmeConfig,
    PopeConfig,
    ScenesConfig,
    VQAv2Config,
)
from lnt_core.config.tasks import SHORT_ANSWER
from lnt_core.data.questions import MME_TAIL, POPE_CATEGORIES
from lnt_core.data.samples import IMAGE
from lnt_core.data.scenes import COLOURS, SHAPES, VERSION, Scene, all_scenes, drawn_scenes

QUESTIONS_VERSION = 1
"""Part of the cache key; incremented whenever the questions change."""
SUBTASKS = ("existence", "count", "position", "color")
"""MME's subtasks that scenes have questions for."""
MME_IMAGES = 50
"""Images of each of MME's subtasks, at most; each has a folder with images of its own."""
NUM_PEOPLE = 10
"""Answers to each question of VQAv2."""
ANSWER_TOKENS = 12
"""A short answer of the tiny model ends within this."""


@dataclass(frozen=True)
class Drawn:
    """A scene and its file."""

    number: int
    """Of its split, from 0."""
    name: str
    scene: Scene


QuestionAnswer = tuple[str, str]


def scenes_data(config: ScenesConfig, cache: Path) -> DataConfig:
    """Draw the scenes unless they are cached, and return the config of their files.

    Args:
        config: How many scenes of each split, the seed, and the tasks.
        cache: Folder kept between runs.
    """
    scenes = drawn_scenes(config, cache)
    files = {"annotations": str(scenes / "dataset_scenes.json"), "images": str(scenes / "images")}
    asked = {config.select, *config.report}
    if not config.asks and asked <= {"scenes", "loss"}:
        folder = scenes
    else:
        drawn = config.model_dump_json(exclude={"select", "report", "report_when", "questions"})
        key = hashlib.sha256(f"{VERSION} {QUESTIONS_VERSION} {drawn}".encode()).hexdigest()[:12]
        folder = cached_folder(
            cache / f"questions-{key}", lambda draft: _write(config, scenes / "images", draft)
        )
    captions = DatasetConfig(**files)
    asked_too = DatasetConfig(**(files | {"annotations": str(folder / "train.json")}))
    return DataConfig(
        align=captions if config.asks else None,  # as LLaVA's stage 1, which has no questions
        tune=asked_too if config.asks else captions,
        select=scene_task(config.select, scenes, folder),
        report=tuple(
            scene_task(name, scenes, folder).model_copy(update={"when": config.report_when})
            for name in config.report
        ),
    )


def scene_task(name: str, scenes: Path, questions: Path) -> AnyTaskConfig:
    """A task on the validation split of drawn scenes.

    Args:
        name: As in `data.scenes.select`.
        scenes: The folder of the scenes.
        questions: The folder of the questions about them.
    """
    images, karpathy = str(scenes / "images"), str(scenes / "dataset_scenes.json")
    brief: dict[str, Any] = {"max_new_tokens": ANSWER_TOKENS, "batch_size": 200}
    if name == "scenes":
        return CaptioningConfig(
            task="scenes", annotations=karpathy, images=images, max_new_tokens=24, batch_size=200
        )
    if name == "loss":
        return LossConfig(task="loss", annotations=karpathy, images=images, batch_size=64)
    if name == "vqav2":
        return VQAv2Config(
            task="vqav2",
            questions=str(questions / "v2_OpenEnded_scenes_val_questions.json"),
            annotations=str(questions / "v2_scenes_val_annotations.json"),
            images=images,
            image_name="val_{image_id:05d}.png",
            **brief,
        )
    if name == "pope":
        return PopeConfig(
            task="pope", annotations=str(questions), images=images, source="scenes", **brief
        )
    if name == "mme":
        return MmeConfig(task="mme", images=str(questions / "mme"), subtasks=SUBTASKS, **brief)
    assert name == "exact_match"
    return ExactMatchConfig(
        task="exact_match",
        annotations=str(questions / "val.json"),
        images=images,
        prompt=SHORT_ANSWER,
        **brief,
    )


def training_samples(scene: Scene, rng: random.Random) -> list[QuestionAnswer]:
    """What is trained on of a scene: a caption, and four questions with short answers."""
    shape = rng.choice([s for s in SHAPES if s not in _shapes(scene)])
    asked = [
        colour_question(scene, rng),
        count_question(scene, rng),
        (f"Is there a {rng.choice(scene.things).shape} in the image?", "Yes"),
        (f"Is there a {shape} in the image?", "No"),
    ]
    short = [(SHORT_ANSWER.replace("{question}", question), answer) for question, answer in asked]
    return [(CAPTION_PROMPT, rng.choice(scene.captions)), *short]


def colour_question(scene: Scene, rng: random.Random) -> QuestionAnswer:
    """The colour of one object, named by its place."""
    which = rng.randrange(2)
    places = ("on the left", "on the right") if scene.beside else ("at the top", "at the bottom")
    return f"What color is the object {places[which]}?", scene.things[which].colour


def count_question(scene: Scene, rng: random.Random) -> QuestionAnswer:
    """How many objects have one shape: 0, 1 or 2."""
    shape = rng.choice([scene.first.shape, scene.second.shape, rng.choice(SHAPES)])
    return f"How many {_plural(shape)} are there?", str(_shapes(scene).count(shape))


def relation_question(scene: Scene) -> QuestionAnswer:
    """What is beside, above or below one object, if the shapes tell them apart."""
    relation = "to the left of" if scene.beside else "above"
    return f"What is {relation} the {scene.second.shape}?", scene.first.shape


def _write(config: ScenesConfig, images: Path, folder: Path) -> None:
    """Write all files of questions to an empty folder."""
    rng = random.Random(f"questions {config.seed}")
    splits: dict[str, list[Drawn]] = {"train": [], "val": [], "test": []}
    for split, name, scene, _ in all_scenes(config):
        splits[split].append(Drawn(len(splits[split]), name, scene))
    val = splits["val"]
    trained = [(d, pair) for d in splits["train"] for pair in training_samples(d.scene, rng)]
    asked = [(d, pair) for d in val for pair in _open_questions(d.scene, rng)]
    _write_llava(trained, folder / "train.json")
    _write_llava(asked, folder / "val.json")
    _write_vqav2(asked, folder, rng)
    _write_pope(val, folder, rng)
    _write_mme(val[:MME_IMAGES], images, folder / "mme", rng)


def _open_questions(scene: Scene, rng: random.Random) -> list[QuestionAnswer]:
    found = [colour_question(scene, rng), count_question(scene, rng)]
    colour = rng.choice([scene.first.colour, rng.choice(list(COLOURS))])
    is_there = colour in {thing.colour for thing in scene.things}
    found.append((f"Is there a {colour} object?", "yes" if is_there else "no"))
    if scene.first.shape != scene.second.shape:
        found.append(relation_question(scene))
    return found


def _write_llava(asked: Sequence[tuple[Drawn, QuestionAnswer]], path: Path) -> None:
    content = [
        {
            "id": str(number),
            "image": drawn.name,
            "conversations": [
                {"from": "human", "value": f"{IMAGE}\n{question}"},
                {"from": "gpt", "value": answer},
            ],
        }
        for number, (drawn, (question, answer)) in enumerate(asked)
    ]
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_vqav2(
    asked: Sequence[tuple[Drawn, QuestionAnswer]], folder: Path, rng: random.Random
) -> None:
    head = {"info": {"description": "drawn scenes"}, "license": {}, "data_subtype": "val"}
    questions, annotations = [], []
    for number, (drawn, (question, answer)) in enumerate(asked):
        ids = {"question_id": number + 1, "image_id": drawn.number}
        questions.append(ids | {"question": question})
        kind = "yes/no" if answer in ("yes", "no") else "number" if answer.isdigit() else "other"
        given = [
            {"answer": text, "answer_confidence": "yes", "answer_id": person}
            for person, text in enumerate(_ten_answers(answer, rng), start=1)
        ]
        annotations.append(
            ids
            | {
                "question_type": " ".join(question.split()[:2]).lower(),
                "answer_type": kind,
                "multiple_choice_answer": answer,
                "answers": given,
            }
        )
    named = {"task_type": "Open-Ended", "data_type": "scenes"}
    asked_file = folder / "v2_OpenEnded_scenes_val_questions.json"
    asked_file.write_text(json.dumps(head | named | {"questions": questions}), encoding="utf-8")
    answered = head | {"data_type": "scenes", "annotations": annotations}
    (folder / "v2_scenes_val_annotations.json").write_text(json.dumps(answered), encoding="utf-8")


def _ten_answers(answer: str, rng: random.Random) -> list[str]:
    """What ten people say: most of them the truth, some in other words, a few something else."""
    words = {"0": "none", "1": "one", "2": "two"}
    others = {"yes": "no", "no": "yes"}
    agree = rng.randint(6, NUM_PEOPLE)
    same = [rng.choice([answer, answer, words.get(answer, answer)]) for _ in range(agree)]
    given = same + [others.get(answer, "not sure")] * (NUM_PEOPLE - agree)
    rng.shuffle(given)
    return given


def _write_pope(val: Sequence[Drawn], folder: Path, rng: random.Random) -> None:
    """Three files of a present and an absent shape for each scene.

    The absent one is any, the most frequent, or the one that most often comes with a present one.
    """
    frequent = Counter(shape for d in val for shape in set(_shapes(d.scene)))
    together = Counter(pair for d in val for pair in _ordered_pairs(d.scene))
    for category in POPE_CATEGORIES:
        lines: list[str] = []
        for drawn in val:
            shapes = _shapes(drawn.scene)
            present = rng.choice(shapes)
            absent = [shape for shape in SHAPES if shape not in shapes]
            rng.shuffle(absent)  # which decides among equals, and alone in "random"
            if category == "popular":
                absent.sort(key=lambda shape: -frequent[shape])
            elif category == "adversarial":
                absent.sort(key=lambda shape: -max(together[s, shape] for s in shapes))
            chosen = absent[0]
            for shape, label in ((present, "yes"), (chosen, "no")):
                line = {"question_id": len(lines) + 1, "image": drawn.name}
                line |= {"text": f"Is there a {shape} in the image?", "label": label}
                lines.append(json.dumps(line))
        path = folder / f"scenes_pope_{category}.json"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_mme(val: Sequence[Drawn], images: Path, folder: Path, rng: random.Random) -> None:
    for subtask in SUBTASKS:
        (folder / subtask).mkdir(parents=True)
        for drawn in val:
            shutil.copy(images / drawn.name, folder / subtask / drawn.name)
            right, wrong = _mme_pair(subtask, drawn.scene, rng)
            text = f"{right}{MME_TAIL}\tYes\n{wrong}{MME_TAIL}\tNo\n"
            (folder / subtask / drawn.name).with_suffix(".txt").write_text(text, encoding="utf-8")


def _mme_pair(subtask: str, scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A question whose answer is yes, and one whose answer is no."""
    thing = rng.choice(scene.things)
    if subtask == "existence":
        absent = rng.choice([shape for shape in SHAPES if shape not in _shapes(scene)])
        return f"Is there a {thing.shape} in this image?", f"Is there a {absent} in this image?"
    if subtask == "count":
        count = _shapes(scene).count(thing.shape)
        names = {1: f"one {thing.shape}", 2: f"two {_plural(thing.shape)}"}
        asked = "Is there a total of {} in the image?"
        return asked.format(names[count]), asked.format(names[3 - count])
    if subtask == "position":
        place = "on the left" if scene.beside else "at the top"
        other = f"{scene.second.colour} {scene.second.shape}"
        if other == f"{scene.first.colour} {scene.first.shape}":
            other = f"{_other_colour(scene, rng)} {scene.second.shape}"
        right = f"Is the object {place} a {scene.first.colour} {scene.first.shape}?"
        return right, f"Is the object {place} a {other}?"
    asked = "Is there a {} {} in the image?"
    other = _other_colour(scene, rng)
    return asked.format(thing.colour, thing.shape), asked.format(other, thing.shape)


def _other_colour(scene: Scene, rng: random.Random) -> str:
    return rng.choice([c for c in COLOURS if c not in {thing.colour for thing in scene.things}])


def _shapes(scene: Scene) -> list[str]:
    return [thing.shape for thing in scene.things]


def _ordered_pairs(scene: Scene) -> list[tuple[str, str]]:
    first, second = _shapes(scene)
    return [(first, second), (second, first)]


def _plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"
