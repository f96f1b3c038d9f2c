"""Data configs of a trial: published files for each stage, or drawn scenes."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.config.bounds import Seed
from lnt_core.frozen import Frozen

CAPTION_PROMPT = "Provide a one-sentence caption for the provided image."
"""The captioning prompt of lmms-eval's flickr30k task."""
Kind = Literal["conversation", "detail", "reasoning"]
HUB = "hf://datasets/"
"""How `annotations` names a data set of the Hugging Face Hub, as Hugging Face's own URIs do."""


class ColumnsConfig(Frozen):
    """The columns of a table: either `messages`, or `answer` with or without `question`."""

    messages: str | None = None
    """Conversations. Default, if there is no `answer`: `messages` or `conversations`."""
    question: str | None = None
    """Questions. Default: every question is the captioning prompt, so that answers are captions."""
    answer: str | None = None
    """Answers: a text, or a list of texts, each of which is a sample of its own."""
    image: str | None = None
    """Images: each a path or an image, or a list of them. Default with `messages`: `images` or
    `image`."""
    images: str | None = None
    """The same as `image`."""
    split: str | None = None
    """The names of splits, if one table has several of them."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.image and self.images:
            raise ValueError("`image` and `images` are the same column: give one of them")
        if self.messages and (self.question or self.answer):
            raise ValueError("give either `messages`, or `answer` with or without `question`")
        if self.question and not self.answer:
            raise ValueError("`question` needs `answer`")
        return self


class FilesConfig(Frozen):
    """Annotations and images, which training and selection data have in common."""

    annotations: str
    """Path of the annotations: a JSON file as published by Karpathy or LLaVA, JSON lines, a parquet
    file, a folder of the `datasets` library; or `hf://datasets/NAME`, a data set of the Hugging
    Face Hub in the local cache. Which of them it is, is detected from the content."""
    images: str | None = None
    """Folder that image names are relative to. Default: the folder that the annotations are in, or
    are. A table may have the images in itself."""
    columns: ColumnsConfig | None = None
    """The columns of a table (JSON lines, parquet, `datasets`). Default: it has `messages`."""
    subset: str | None = None
    """Of a data set of the Hub or in a folder: its subset (`datasets` says: configuration name)."""

    @property
    def on_hub(self) -> str | None:
        """The name on the Hugging Face Hub, if the data set is one of it."""
        name = self.annotations
        return name.removeprefix(HUB) if name.startswith(HUB) else None


class DatasetConfig(FilesConfig):
    """Training data: conversations, or images with captions or with questions and answers."""

    split: str | None = None
    """The split, if there are several. Default: `train` and `restval`, as usual for COCO."""
    kinds: tuple[Kind, ...] = ()
    """LLaVA layout only: the kinds of instructions to use. Default: all three."""
    num_samples: int | None = Field(default=None, ge=1)
    """Number of samples to draw at random, with `seed`, from the selected ones. Default: all."""
    skip_bad: int = Field(default=0, ge=0, le=10**9)
    """How many unusable samples are left out: rows that are no JSON, conversations whose turns do
    not alternate, blank answers, more or fewer `<image>` than images, images that are missing or no
    images. More of them are refused. `data.skip_bad` sets it for `align` and `tune`."""


class SelectConfig(FilesConfig):
    """The captioning task whose scores (CIDEr x 100) choose the learning rates."""

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
    max_new_tokens: int = Field(default=64, ge=1, le=4096)
    """Maximum length of a caption, in tokens."""
    batch_size: int = Field(default=64, ge=1, le=65_536)
    """Images that are captioned at a time."""

    @property
    def splits(self) -> set[str]:
        """All splits that are read."""
        train = {"train"} if self.text_examples else set()
        return {self.split} | train | ({self.report_split} if self.report_split else set())

    @field_validator("prompt")
    @classmethod
    def _without_image(cls, prompt: str) -> str:
        if "<image>" in prompt:
            raise ValueError("`<image>` is put before the question: leave it out")
        return prompt

    @model_validator(mode="before")
    @classmethod
    def _report_test(cls, values: Any) -> Any:
        if isinstance(values, dict) and "report_split" not in values:
            chooses = values.get("split", "val")
            return {**values, "report_split": None if chooses == "test" else "test"}
        return values


class ScenesConfig(Frozen):
    """Synthetic images with captions, drawn on this machine and stored in Karpathy's layout.

    At most 100,000 images of a split, since the names of their files have five digits.
    """

    num_train: int = Field(default=3000, ge=2, le=100_000)
    """Images of the train split."""
    num_val: int = Field(default=200, ge=2, le=100_000)
    """Images of the validation split."""
    num_test: int = Field(default=200, ge=2, le=100_000)
    """Images of the test split."""
    seed: Seed = 0
    """Seed of the drawings."""


class DataConfig(Frozen):
    """Either files for each stage, or drawn scenes for all stages."""

    align: DatasetConfig | None = None
    """Data of stage 1. Default: that of `tune`."""
    tune: DatasetConfig | None = None
    """Data of stage 2."""
    select: SelectConfig | None = None
    scenes: ScenesConfig | None = None
    exif_orientation: bool = True
    """Turn images upright as their EXIF data say, as transformers' `load_image` does. With `false`
    the model sees them as they are stored, as in LLaVA's own training code."""

    @model_validator(mode="before")
    @classmethod
    def _skip_bad_of_both(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "skip_bad" not in values:
            return values
        own = {"skip_bad": values["skip_bad"]}
        stages = {n: own | values[n] for n in ("align", "tune") if isinstance(values.get(n), dict)}
        if not stages:
            return values  # refused as an unknown key: scenes have nothing to skip
        return {k: v for k, v in values.items() if k != "skip_bad"} | stages

    @model_validator(mode="after")
    def _files_or_scenes(self) -> Self:
        if self.scenes is not None:
            if self.align or self.tune or self.select:
                raise ValueError("give either `scenes` or files (`tune`, `select`), not both")
        elif self.tune is None or self.select is None:
            missing = [name for name in ("tune", "select") if getattr(self, name) is None]
            raise ValueError(f"missing {' and '.join(f'`{name}`' for name in missing)}")
        return self
