"""Readers of benchmarks in their published layouts: VQAv2, POPE, MME; and of own questions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json
from typing_extensions import TypedDict

from lnt_core.config import MmeConfig, OwnQuestionsConfig, PopeConfig, VQAv2Config
from lnt_core.config.dataset import DatasetConfig
from lnt_core.data.layouts import read_json, some, validated
from lnt_core.data.samples import IMAGE, read_samples
from lnt_core.errors import DataError
from lnt_core.paths import is_file, is_folder, shown

POPE_CATEGORIES = ("random", "popular", "adversarial")
MME_SUFFIXES = (".jpg", ".png", ".jpeg")
MME_TEXTS = "questions_answers_YN"
MME_TAIL = " Please answer yes or no."
"""How every question of MME ends; LLaVA's prompt has its own words instead."""


@dataclass(frozen=True)
class Question:
    """One question about one image, or about none."""

    id: str
    """Its id in the file; with its group, unique within the task."""
    image: Path | None
    text: str
    references: tuple[str, ...]
    """The answers that it is scored against, as in the file."""
    group: str = ""
    """What it is scored with: POPE's category, MME's subtask, VQAv2's type of answer."""


class _Vqa(TypedDict):
    question_id: int
    image_id: int
    question: str


class _VqaAnswer(TypedDict):
    answer: str


class _VqaAnswers(TypedDict):
    question_id: int
    answer_type: str
    answers: list[_VqaAnswer]


class _VqaFile(TypedDict):
    questions: list[_Vqa]


class _VqaAnswerFile(TypedDict):
    annotations: list[_VqaAnswers]


class _Pope(TypedDict):
    question_id: int
    image: str
    text: str
    label: str


def read_vqav2(config: VQAv2Config) -> list[Question]:
    """The questions of VQAv2, in the order of the file of answers.

    Raises:
        DataError: A file cannot be read or has another layout, or the files do not belong together.
    """
    asked = validated(
        config.questions,
        TypeAdapter(_VqaFile),
        read_json(config.questions),
        'VQAv2\'s layout {"questions": [{"question_id", "image_id", "question"}]}',
    )["questions"]
    answered = validated(
        config.annotations,
        TypeAdapter(_VqaAnswerFile),
        read_json(config.annotations),
        'VQAv2\'s layout {"annotations": [{"question_id", "answer_type", "answers": '
        '[{"answer"}]}]}',
    )["annotations"]
    by_id = {item["question_id"]: item for item in asked}
    unknown = [str(a["question_id"]) for a in answered if a["question_id"] not in by_id]
    if unknown or len(asked) != len(answered) or len(by_id) < len(asked):
        raise DataError(
            f"{shown(config.annotations)} has the answers to {len(answered)} questions and "
            f"{shown(config.questions)} has {len(by_id)}, of which they must be all, each once"
            + (f"; unknown question_id: {some(unknown)}" if unknown else "")
        )
    if bare := [str(a["question_id"]) for a in answered if not a["answers"]]:
        raise DataError(f"{shown(config.annotations)}: no answers to question_id {some(bare)}")
    return [
        Question(
            str(item["question_id"]),
            Path(
                config.images,
                config.image_name.format(image_id=by_id[item["question_id"]]["image_id"]),
            ),
            by_id[item["question_id"]]["question"],
            tuple(answer["answer"] for answer in item["answers"]),
            item["answer_type"],
        )
        for item in answered
    ]


def pope_file(config: PopeConfig, category: str) -> Path:
    """The file of one category."""
    return Path(config.annotations, f"{config.source}_pope_{category}.json")


def read_pope(config: PopeConfig) -> list[Question]:
    """The questions of POPE's three files, one after the other, line by line.

    Raises:
        DataError: A file cannot be read or has another layout.
    """
    found = []
    for category in POPE_CATEGORIES:
        path = str(pope_file(config, category))
        lines = validated(
            path,
            TypeAdapter(list[_Pope]),
            [_json_line(path, number, line) for number, line in _lines(path)],
            'POPE\'s layout, lines of {"question_id", "image", "text", "label"}',
        )
        for number, line in enumerate(lines, start=1):
            if line["label"] not in ("yes", "no"):
                raise DataError(
                    f"{shown(path)}, line {number}: label is {shown(repr(line['label']))}, but "
                    "must be 'yes' or 'no'"
                )
            image = Path(config.images, line["image"])
            # lines, not question_id, tell questions apart, as in the official script
            found.append(Question(str(number), image, line["text"], (line["label"],), category))
    return found


def mme_files(config: MmeConfig, subtask: str) -> tuple[list[Path], Path]:
    """The files of questions of a subtask, and the folder of its images."""
    folder = Path(config.images, subtask)
    texts, images = folder / MME_TEXTS, folder / "images"
    if not is_folder(texts):  # nine of the subtasks have questions and images side by side
        texts = images = folder
    return sorted(texts.glob("*.txt")), images


def read_mme(config: MmeConfig) -> list[Question]:
    """The questions of MME's subtasks, two for each image, in the order of the images' names.

    Raises:
        DataError: A folder or image is missing, or a file has other than two questions.
    """
    found = []
    for subtask in config.subtasks:
        files, images = mme_files(config, subtask)
        if not files:
            folder = shown(Path(config.images, subtask))
            raise DataError(
                f"{folder} has no files of questions (*.txt), nor has {folder}/{MME_TEXTS}"
            )
        for path in files:
            image = _mme_image(images, path.stem)
            for number, (text, label) in enumerate(_mme_pair(path), start=1):
                found.append(Question(f"{path.stem}/{number}", image, text, (label,), subtask))
    return found


def _mme_image(folder: Path, stem: str) -> Path:
    for suffix in MME_SUFFIXES:
        if is_file(folder / f"{stem}{suffix}"):
            return folder / f"{stem}{suffix}"
    raise DataError(f"{shown(folder)} has no image {shown(stem)} ({', '.join(MME_SUFFIXES)})")


def _mme_pair(path: Path) -> list[tuple[str, str]]:
    pair = []
    for number, line in _lines(str(path)):
        text, tab, label = line.partition("\t")
        if not tab or label.strip().lower() not in ("yes", "no"):
            raise DataError(
                f"{shown(path)}, line {number} is {shown(repr(line))}, but must be a question, a "
                "tab, and Yes or No"
            )
        pair.append((text.strip(), label.strip()))
    if len(pair) != 2:
        raise DataError(f"{shown(path)} has {len(pair)} questions, but must have 2")
    return pair


def read_own(config: OwnQuestionsConfig) -> list[Question]:
    """Own questions in LLaVA's layout, in the file's order.

    Raises:
        DataError: The file cannot be read, has another layout, or an entry several questions.
    """
    data = DatasetConfig(annotations=config.annotations, images=config.images)
    samples = read_samples(data).samples
    several = [str(number) for number, s in enumerate(samples) if len(s.turns) != 1]
    if several:
        raise DataError(
            f"{shown(config.annotations)}: entries have more than one question and answer: "
            f"{some([f'[{n}]' for n in several])}; only one can be scored"
        )
    return [
        Question(
            str(number),
            sample.image,
            sample.turns[0][0].removeprefix(f"{IMAGE}\n"),
            (sample.turns[0][1],),
        )
        for number, sample in enumerate(samples[: config.num_samples])
    ]


def _lines(path: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown(path)} is not text in UTF-8: {error.reason} at {error.start}"
        ) from None
    return [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _json_line(path: str, number: int, line: str) -> Any:
    try:
        return from_json(line)
    except ValueError as error:
        raise DataError(f"{shown(path)}, line {number} is not JSON: {error}") from None
