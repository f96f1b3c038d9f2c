"""The data of a trial: files as published, or drawn scenes."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from lnt_core.frozen import Frozen

CAPTION_PROMPT = "Provide a one-sentence caption for the provided image."
"""lmms-eval's captioning prompt (its flickr30k task)."""
Kind = Literal["conversation", "detail", "reasoning"]


class DatasetConfig(Frozen):
    """Images with captions (Karpathy JSON) or with conversations (LLaVA JSON), told by layout."""

    annotations: str
    """The JSON file as published."""
    images: str
    """The folder that the file's image names are relative to."""
    split: str | None = None
    """Karpathy layout only: which split; left out, `train` with `restval`, as usual for COCO."""
    kinds: tuple[Kind, ...] = ()
    """LLaVA layout only: which of its three kinds of instructions; left out, all."""
    num_samples: int | None = Field(default=None, ge=1)
    """A random subset of this many samples, of those kinds, drawn with the trial's seed."""


class SelectConfig(Frozen):
    """The captioning task by which learning rates are chosen. Scores are CIDEr x 100."""

    task: Literal["flickr30k", "flickr8k", "coco", "scenes"]
    """The data set's name, under which a score is reported; the layout is Karpathy's for all."""
    annotations: str
    images: str
    split: str = "val"
    """The split that chooses."""
    report_split: str | None = None
    """A further split that is scored and reported but never chooses: `test` when `val` chooses."""
    num_images: int | None = Field(default=None, ge=2)
    """The first so many images of the split. A score depends on the set: do not compare across."""
    prompt: str = CAPTION_PROMPT
    text_examples: int = Field(default=0, ge=0, le=16)
    """Question-answer examples without image before the question; the paper uses 3."""
    max_new_tokens: int = Field(default=64, ge=1)
    batch_size: int = Field(default=64, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _report_test(cls, values: Any) -> Any:
        if isinstance(values, dict) and "report_split" not in values:
            chooses = values.get("split", "val")
            return {**values, "report_split": None if chooses == "test" else "test"}
        return values


class ScenesConfig(Frozen):
    """Drawn images with captions, made on this machine in Karpathy's layout."""

    num_train: int = Field(default=3000, ge=2)
    num_val: int = Field(default=200, ge=2)
    num_test: int = Field(default=200, ge=2)
    seed: int = Field(default=0, ge=0)


class DataConfig(Frozen):
    """Either files for each stage, or drawn scenes for all of them."""

    align: DatasetConfig | None = None
    """Stage 1; left out, the tune data."""
    tune: DatasetConfig | None = None
    select: SelectConfig | None = None
    scenes: ScenesConfig | None = None

    @model_validator(mode="after")
    def _files_or_scenes(self) -> Self:
        if self.scenes is not None:
            if self.align or self.tune or self.select:
                raise ValueError("give either `scenes` or files (`tune`, `select`), not both")
        elif self.tune is None or self.select is None:
            missing = [name for name in ("tune", "select") if getattr(self, name) is None]
            raise ValueError(f"missing {' and '.join(f'`{name}`' for name in missing)}")
        return self
