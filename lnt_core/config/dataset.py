"""The config of training data: annotations, in files or on the Hub, and their images."""

from typing import Literal, Self

from pydantic import Field, model_validator

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
