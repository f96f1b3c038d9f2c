"""The tasks that a trial is scored on: one file per task, and a registry.

To add one, write its file, add its Config to ``AnyTaskConfig`` in lnt_core/config/tasks.py, and its
main metric to lnt_core/metrics.py.
"""

from lnt_core.evaluation.tasks.base import (
    TASKS,
    AskingTask,
    Scored,
    Task,
    annotation_files,
    make_task,
    objective_of,
)
from lnt_core.evaluation.tasks.captioning import Captioning
from lnt_core.evaluation.tasks.custom import Custom
from lnt_core.evaluation.tasks.exact_match import ExactMatch
from lnt_core.evaluation.tasks.loss import HeldOutLoss
from lnt_core.evaluation.tasks.mme import Mme
from lnt_core.evaluation.tasks.pope import Pope
from lnt_core.evaluation.tasks.vqav2 import VQAv2

__all__ = [
    "TASKS",
    "AskingTask",
    "Captioning",
    "Custom",
    "ExactMatch",
    "HeldOutLoss",
    "Mme",
    "Pope",
    "Scored",
    "Task",
    "VQAv2",
    "annotation_files",
    "make_task",
    "objective_of",
]
