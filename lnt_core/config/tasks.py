"""Configs of the tasks that a trial is scored on: files as published, prompt, batch size."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from lnt_core.config.dataset import CAPTION_PROMPT, DatasetConfig, FilesConfig
from lnt_core.frozen import Frozen

SHORT_ANSWER = "{question}\nAnswer the question using a single word or phrase."
"""LLaVA-1.5's prompt for short answers (docs/Evaluation.md of its repository)."""
MME_PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
MME_COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)
RESERVED = frozenset(
    {"align", "analysis", "base", "best", "compute", "memory", "params", "report", "select"}
    | {"system", "time", "train"}
)
"""What other metrics begin with, and so no task in `data.report`."""
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
NewTokens = Annotated[int, Field(ge=1, le=4096)]


When = Literal["winners", "trials"]


class TaskConfig(Frozen):
    """What all tasks have in common."""

    files: ClassVar[tuple[str, ...]] = ("annotations",)
    """Keys whose values are files."""
    folders: ClassVar[tuple[str, ...]] = ("images",)
    """Keys whose values are folders."""

    task: str
    """The task's name."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    """Prefix of the metrics of a task in `data.report`: `NAME/accuracy`. Default: the task's name.
    The metrics of `data.select` begin with `select/`."""
    when: When | None = None
    """Of a task in `data.report`: `winners` scores each strategy's winner and the untuned base on
    it, once all trials have ended; `trials` scores the base and every trial. Default: `winners`."""

    @property
    def prefix(self) -> str:
        """What the metrics of the task begin with in `data.report`."""
        return self.name or self.task

    @property
    def for_winners(self) -> bool:
        """Whether only winners and the untuned base are scored on it, in `data.report`."""
        return self.when != "trials"

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str | None) -> str | None:
        if name in RESERVED:
            raise ValueError(f"{name!r} is what other metrics begin with; choose another name")
        return name


class AskingConfig(TaskConfig):
    """A task in which the model answers questions about images by greedy decoding."""

    prompt: str = SHORT_ANSWER
    """What the model is asked about each image, without `<image>`, which comes before it;
    `{question}` stands for the question."""
    max_new_tokens: NewTokens = 128
    """Maximum length of an answer, in tokens."""
    batch_size: BatchSize = 64
    """Questions that are answered at a time."""

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str) -> str:
        return _without_image(prompt, must_ask=True)


CAPTIONING = ("flickr30k", "flickr8k", "coco", "scenes")
"""Names of captioning data sets."""


class CaptioningConfig(FilesConfig, TaskConfig):
    """Captions of images, scored by CIDEr x 100."""

    task: Literal["flickr30k", "flickr8k", "coco", "scenes"]
    """Name of the data set, reported with the score. It has captions of images: Karpathy's layout,
    or a table whose `columns` name `image` and `answer`."""
    split: str = "val"
    """The split used for selection."""
    report_split: str | None = None
    """A further split, scored and reported but never used for selection. Default: `test`, or none
    if `split` is `test`."""
    num_images: int | None = Field(default=None, ge=2)
    """Use only the first `num_images` images of a split, of the report split at most as many.
    Scores on different images are not comparable."""
    prompt: str = CAPTION_PROMPT
    """Question about each image, without `<image>`: the image comes before it."""
    text_examples: int = Field(default=0, ge=0, le=16)
    """Text-only question-answer examples before the question; the paper uses 3."""
    max_new_tokens: NewTokens = 64
    """Maximum length of a caption, in tokens."""
    batch_size: BatchSize = 64
    """Images that are captioned at a time."""

    @property
    def splits(self) -> set[str]:
        """All splits that are read."""
        train = {"train"} if self.text_examples else set()
        return {self.split} | train | ({self.report_split} if self.report_split else set())

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str) -> str:
        return _without_image(prompt, must_ask=False)

    @model_validator(mode="before")
    @classmethod
    def _report_test(cls, values: Any) -> Any:
        if isinstance(values, dict) and "report_split" not in values:
            chooses = values.get("split", "val")
            return {**values, "report_split": None if chooses == "test" else "test"}
        return values


class VQAv2Config(AskingConfig):
    """VQAv2: open questions with ten answers each, scored by VQA accuracy x 100."""

    files: ClassVar[tuple[str, ...]] = ("questions", "annotations")

    task: Literal["vqav2"]
    questions: str
    """Path of the file of questions, `v2_OpenEnded_mscoco_val2014_questions.json`."""
    annotations: str
    """Path of the file of answers, `v2_mscoco_val2014_annotations.json`."""
    images: str
    """Folder of the images."""
    image_name: str = "COCO_val2014_{image_id:012d}.jpg"
    """Name of an image's file in the folder."""

    @field_validator("image_name")
    @classmethod
    def _names_an_image(cls, name: str) -> str:
        try:
            if name.format(image_id=1) != name.format(image_id=2):
                return name
        except (KeyError, IndexError, ValueError, AttributeError):
            pass
        raise ValueError(f"{name!r} must contain `{{image_id}}` or `{{image_id:012d}}`, once")


class PopeConfig(AskingConfig):
    """POPE: is an object in the image? Three files of questions, scored by their mean F1 x 100."""

    files: ClassVar[tuple[str, ...]] = ()
    folders: ClassVar[tuple[str, ...]] = ("annotations", "images")

    task: Literal["pope"]
    annotations: str
    """Folder of `coco_pope_random.json`, `coco_pope_popular.json`, `coco_pope_adversarial.json`."""
    images: str
    """Folder of the images."""
    source: str = "coco"
    """What the files' names begin with: `coco`, `gqa`, `aokvqa`, ..."""


class MmeConfig(AskingConfig):
    """MME: two yes-or-no questions about each image, scored by the sum of its subtasks' scores."""

    files: ClassVar[tuple[str, ...]] = ()

    task: Literal["mme"]
    images: str
    """Folder of the release: a folder of images and questions for each subtask."""
    subtasks: tuple[str, ...] = MME_PERCEPTION + MME_COGNITION
    """The subtasks that are asked, by default all. A subtask scores at most 200."""

    @field_validator("subtasks")
    @classmethod
    def _known(cls, subtasks: Sequence[str]) -> Sequence[str]:
        known = MME_PERCEPTION + MME_COGNITION
        unknown = [name for name in subtasks if name not in known]
        if unknown or not subtasks or len(set(subtasks)) < len(subtasks):
            raise ValueError(
                f"{list(subtasks)} must be at least one of {', '.join(known)}, each at most once"
            )
        return subtasks


class OwnQuestionsConfig(AskingConfig):
    """Questions and answers of one's own: LLaVA's layout, one question for each entry."""

    annotations: str
    """Path of the JSON file in LLaVA's layout. The first message of an entry is the question, the
    second the answer to match; entries have no further messages."""
    images: str
    """Folder that the file's image names are relative to."""
    num_samples: int | None = Field(default=None, ge=2)
    """Use only the first `num_samples` questions. Default: all."""
    prompt: str = "{question}"
    """What the model is asked, without `<image>`; `{question}` stands for the question."""


class ExactMatchConfig(OwnQuestionsConfig):
    """Own questions, scored by the share of answers, x 100, that are those of the file.

    Case, white space, and punctuation at the ends of an answer do not matter.
    """

    task: Literal["exact_match"]


class CustomConfig(OwnQuestionsConfig):
    """A scorer of one's own: a Python function that scores each answer."""

    task: Literal["custom"]
    scorer: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function`, which every worker can import. It is called with the questions, the
    answers and the references (a list of strings for each question), and returns a number for
    each question; their mean is the trial's score."""
    direction: Literal["max", "min"] = "max"
    """Whether higher or lower scores are better. The metric is `select/score` or `select/cost`."""


class LossConfig(DatasetConfig, TaskConfig):
    """The loss on data that is not trained on: nats per answer token, of all answers together."""

    task: Literal["loss"]
    split: str | None = "val"
    """The split, if there are several."""
    batch_size: BatchSize = 16
    """Conversations at a time; the loss does not depend on it."""


AnyTaskConfig = (
    CaptioningConfig
    | VQAv2Config
    | PopeConfig
    | MmeConfig
    | ExactMatchConfig
    | LossConfig
    | CustomConfig
)
TaskField = Annotated[AnyTaskConfig, Field(discriminator="task")]


def _without_image(prompt: str, *, must_ask: bool) -> str:
    if "<image>" in prompt:
        raise ValueError("`<image>` is put before the question: leave it out")
    if must_ask and "{question}" not in prompt:
        raise ValueError("`{question}` is missing: it stands for the question")
    return prompt
