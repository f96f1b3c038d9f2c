"""How many tokens an image of a sweep's training data has."""

from typing import Any

from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.processed import ProcessedConversations
from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from lnt_core.models.build import load_conversations, num_image_tokens
from sweeps.config import SweepConfig

NUM_SIZES = 500
"""Images whose sizes are looked at, evenly spread over the data."""


def tokens_of_an_image(sweep: SweepConfig, vision: Any, *, files: bool) -> int:
    """Tokens of one image: the most of those looked at, where it depends on the image's size.

    Args:
        sweep: The sweep.
        vision: Config of the vision tower.
        files: Whether the data files may be read.

    Raises:
        ConfigError: The model's files do not say.
        DataError: An image cannot be read.
    """
    model, data = sweep.model, sweep.trial_data
    if model.shapes is not None and model.shapes.image_tokens is not None:
        return model.shapes.image_tokens
    if model.checkpoint is None:
        return num_image_tokens(model, vision)
    try:
        conversations = load_conversations(model, opening=data.opening)
    except OSError as error:  # transformers' own, if a file is missing
        raise ConfigError(f"model.checkpoint: its processor cannot be loaded: {error}") from error
    if not isinstance(conversations, ProcessedConversations):
        return conversations.num_image_tokens
    if not files or data.tune is None:
        return conversations.most_image_tokens
    sizes = ImageSizes(data.opening)
    samples = load_samples(data.tune, seed=0, keep=sizes.keep(data.tune))
    images = list(dict.fromkeys(path for sample in samples for path in sample.images))
    seen = {sizes.of(path) for path in images[:: max(1, len(images) // NUM_SIZES)]}
    return max(conversations.tokens_of(list(seen)), default=0)
