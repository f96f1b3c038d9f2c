"""Data configs of a trial: published files for each stage, or drawn scenes."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.config.bounds import Seed
from lnt_core.config.dataset import DatasetConfig
from lnt_core.config.opening import Opening
from lnt_core.config.task_list import check_prefixes, with_one_split
from lnt_core.config.tasks import TaskField, When
from lnt_core.frozen import Frozen

MIN_PIXELS, MAX_PIXELS = 28 * 28, 10**9
"""One token of Qwen2.5-VL; more than any photograph has."""
SceneTask = Literal["scenes", "vqav2", "pope", "mme", "exact_match", "loss"]


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
    select: SceneTask = "scenes"
    """The task by which learning rates are chosen, on scenes of the validation split: captions
    (`scenes`), questions about the scenes, or the loss of their captions (`loss`)."""
    report: tuple[SceneTask, ...] = ()
    """Further tasks, on scenes of the validation split, that never choose."""
    report_when: When = "winners"
    """Who is scored on them: each strategy's winner and the untuned base, once all trials have
    ended, or with `trials` the base and every trial."""
    questions: bool | None = None
    """Whether stage 2 trains on questions about the scenes besides captions. Default: if `select`
    or `report` ask any."""

    @property
    def asks(self) -> bool:
        """Whether questions are trained on."""
        if self.questions is not None:
            return self.questions
        return not {self.select, *self.report} <= {"scenes", "loss"}

    @model_validator(mode="after")
    def _reported_once(self) -> Self:
        if len({self.select, *self.report}) < 1 + len(self.report):
            raise ValueError("`select` and `report` must name different tasks, each once")
        return self


class DataConfig(Frozen):
    """Either files for each stage, or drawn scenes for all stages."""

    align: DatasetConfig | None = None
    """Data of stage 1. Default: that of `tune`."""
    tune: DatasetConfig | None = None
    """Data of stage 2."""
    select: TaskField | None = None
    """The task that chooses the learning rates."""
    report: tuple[TaskField, ...] = ()
    """Further tasks, which never choose: each strategy's winner and the untuned base are scored on
    them, or with `when: trials` every trial, too."""
    scenes: ScenesConfig | None = None
    exif_orientation: bool = True
    """Turn images upright as their EXIF data say, as transformers' `load_image` does. With `false`
    the model sees them as they are stored, as in LLaVA's own training code."""
    max_pixels: int | None = Field(default=None, ge=MIN_PIXELS, le=MAX_PIXELS)
    """Scale larger images down to this many pixels (width times height), in their proportions, when
    they are opened: fewer tokens for models whose images have as many as their size asks for
    (Qwen-VL, InternVL, LLaVA-NeXT; not Idefics3 and SmolVLM, whose processors enlarge small
    images). Default: images stay as large as they are, and the processor alone limits them."""

    @property
    def opening(self) -> Opening:
        """How its images are opened."""
        return Opening(self.exif_orientation, self.max_pixels)

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

    @field_validator("report", mode="before")
    @classmethod
    def _one_split_each(cls, tasks: Any) -> Any:
        return with_one_split(tasks)

    @model_validator(mode="after")
    def _files_or_scenes(self) -> Self:
        if self.scenes is not None:
            if self.align or self.tune or self.select or self.report:
                raise ValueError(
                    "give either `scenes` or files (`tune`, `select`, `report`), not both; the "
                    "tasks on scenes are `scenes.select` and `scenes.report`"
                )
        elif self.tune is None or self.select is None:
            missing = [name for name in ("tune", "select") if getattr(self, name) is None]
            raise ValueError(f"missing {' and '.join(f'`{name}`' for name in missing)}")
        if self.select is not None and self.select.when is not None:
            raise ValueError(
                f"`select.when` is {self.select.when!r}, but only tasks in `report` have it: every "
                "trial is scored on what chooses; leave it out"
            )
        check_prefixes("report", self.report)
        return self

    @property
    def names_for_winners(self) -> tuple[str, ...]:
        """The tasks that only winners and the untuned base are scored on, by their prefixes."""
        if self.scenes is not None:
            return self.scenes.report if self.scenes.report_when == "winners" else ()
        return tuple(task.prefix for task in self.report if task.for_winners)
