"""Loads a model to be asked: exported weights on their base, or a whole checkpoint."""

import functools
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lnt_core.config import ModelConfig, Precision, TrialConfig
from lnt_core.config.opening import USUAL, Opening
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.numerics import settle_numerics
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.models.plain import MERGED
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.strategies.weights import load_connector, load_weights

KEPT = 2**30
"""Bytes of features that are kept, for questions about images that were asked about before."""


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, with the base that prepares its inputs."""

    base: VisionLanguageModel
    model: nn.Module
    bf16: bool
    """It runs under bfloat16 autocast, as in training."""
    opening: Opening

    @functools.cached_property
    def store(self) -> FeatureStore:
        """Computes the features of images."""
        return FeatureStore(self.base, max_bytes=KEPT, opening=self.opening)


def load_export(config: TrialConfig, folder: Path, *, cache: Path, device: str = "cpu") -> Loaded:
    """The model of an export; the base is loaded by its name, unless it is merged in the folder.

    Args:
        config: Config of the trial that trained the weights.
        folder: Folder of the export.
        cache: Folder kept between runs, where the tiny model is.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        LntError: The base or the weights cannot be loaded.
    """
    merged, precision = folder / MERGED, config.train.precision
    opening = config.data.opening
    if merged.is_dir():
        whole = ModelConfig(checkpoint=str(merged), conversation=config.model.conversation)
        return load_whole(
            whole,
            cache=cache,
            device=device,
            precision=precision,
            deterministic=config.train.deterministic,
            opening=opening,
        )
    precision = _settled(device, precision, deterministic=config.train.deterministic)
    base = load_base(config.model, cache=cache, device=device, precision=precision, opening=opening)
    load_connector(base, folder)
    model = load_weights(base.trial_copy(), folder).to(device)
    return Loaded(base, model.eval(), precision == "bf16", opening)


def load_whole(
    model: ModelConfig,
    *,
    cache: Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    deterministic: bool = False,
    opening: Opening = USUAL,
) -> Loaded:
    """A whole checkpoint, as it is.

    Args:
        model: Names it.
        cache: As of `load_export`.
        device: As of `load_export`.
        precision: The number format.
        deterministic: Only deterministic kernels.
        opening: How images are opened.

    Raises:
        LntError: It cannot be loaded.
    """
    precision = _settled(device, precision, deterministic=deterministic)
    base = load_base(model, cache=cache, device=device, precision=precision, opening=opening)
    return Loaded(base, base.trial_copy().eval(), precision == "bf16", opening)


def _settled(device: str, precision: Precision, *, deterministic: bool) -> Precision:
    """Set the number format for a device; a CPU has fp32 alone for what was trained in tf32."""
    if precision == "tf32" and not is_gpu(device):
        precision = "fp32"
    settle_numerics(device, precision, deterministic=deterministic)
    return precision
