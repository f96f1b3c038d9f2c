"""The config of training data: a file of captions or conversations, and its images."""

from typing import Literal

from pydantic import Field

from lnt_core.frozen import Frozen

CAPTION_PROMPT = "Provide a one-sentence caption for the provided image."
"""The captioning prompt of lmms-eval's flickr30k task."""
Kind = Literal["conversation", "detail", "reasoning"]


class DatasetConfig(Frozen):
    """Training data: image captions (Karpathy JSON) or conversations (LLaVA JSON).

    The layout is detected from the file's content.
    """

    annotations: str
    """Path of the JSON file, as published."""
    images: str
    """Folder that the file's image names are relative to."""
    split: str | None = None
    """Karpathy layout only: the split. Default: `train` and `restval`, as usual for COCO."""
    kinds: tuple[Kind, ...] = ()
    """LLaVA layout only: the kinds of instructions to use. Default: all three."""
    num_samples: int | None = Field(default=None, ge=1)
    """Number of samples to draw at random, with `seed`, from the selected ones. Default: all."""
    skip_bad: int = Field(default=0, ge=0, le=10**9)
    """How many unusable samples are left out: conversations whose turns do not alternate, blank
    answers, images that are missing or no images. More of them are refused. `data.skip_bad` sets it
    for `align` and `tune`."""
