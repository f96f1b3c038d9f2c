"""The typed, frozen config of one trial: model, data, strategy, learning rate, training, seed."""

from lnt_core.config.data import DataConfig, ScenesConfig
from lnt_core.config.dataset import (
    CAPTION_PROMPT,
    HUB,
    ColumnsConfig,
    DatasetConfig,
    FilesConfig,
    Kind,
)
from lnt_core.config.model import Conversation, ModelConfig, ShapesConfig, TinyConfig
from lnt_core.config.task_list import TasksConfig
from lnt_core.config.tasks import (
    AnyTaskConfig,
    AskingConfig,
    CaptioningConfig,
    CustomConfig,
    ExactMatchConfig,
    LossConfig,
    MmeConfig,
    OwnQuestionsConfig,
    PopeConfig,
    TaskConfig,
    VQAv2Config,
)
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
    "AnyTaskConfig",
    "AskingConfig",
    "CAPTION_PROMPT",
    "CaptioningConfig",
    "ColumnsConfig",
    "Conversation",
    "CustomConfig",
    "DataConfig",
    "DatasetConfig",
    "ExactMatchConfig",
    "FilesConfig",
    "HUB",
    "Kind",
    "LossConfig",
    "MicroBatchSize",
    "MmeConfig",
    "ModelConfig",
    "OwnQuestionsConfig",
    "PopeConfig",
    "Precision",
    "RateRatio",
    "ScenesConfig",
    "ShapesConfig",
    "StartedFrom",
    "TaskConfig",
    "TasksConfig",
    "TinyConfig",
    "TrainConfig",
    "TrialConfig",
    "TuneConfig",
    "VQAv2Config",
]
