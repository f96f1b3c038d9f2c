"""The typed, frozen config of one trial: model, data, strategy, learning rate, training, seed."""

from lnt_core.config.data import (
    CAPTION_PROMPT,
    HUB,
    ColumnsConfig,
    DataConfig,
    DatasetConfig,
    FilesConfig,
    Kind,
    ScenesConfig,
    SelectConfig,
)
from lnt_core.config.model import Conversation, ModelConfig, ShapesConfig, TinyConfig
from lnt_core.config.train import (
    AlignConfig,
    MicroBatchSize,
    Precision,
    RateRatio,
    TrainConfig,
    TuneConfig,
)
from lnt_core.config.trial import StartedFrom, TrialConfig

__all__ = [
    "AlignConfig",
    "CAPTION_PROMPT",
    "ColumnsConfig",
    "Conversation",
    "DataConfig",
    "DatasetConfig",
    "FilesConfig",
    "HUB",
    "Kind",
    "MicroBatchSize",
    "ModelConfig",
    "Precision",
    "RateRatio",
    "ScenesConfig",
    "SelectConfig",
    "ShapesConfig",
    "StartedFrom",
    "TinyConfig",
    "TrainConfig",
    "TrialConfig",
    "TuneConfig",
]
