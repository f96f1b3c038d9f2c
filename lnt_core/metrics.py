"""The metrics of a trial: their names in MLflow, units and meanings.

This is the only place where they are named; docs/metrics.md is generated from it (`make docs`).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Metric(NamedTuple):
    """A metric of a trial, or of the untuned base."""

    name: str
    unit: str
    meaning: str


METRICS: dict[str, Metric] = {}
"""Every metric by its name."""


def _metric(name: str, unit: str, meaning: str) -> str:
    METRICS[name] = Metric(name, unit, meaning)
    return name


class Objective(NamedTuple):
    """A metric by which a sweep can choose."""

    metric: str
    label: str
    """Its name for people."""
    lower_is_better: bool
    decimals: int
    title: str
    """The label of an axis or a table."""
    worst_merit: float
    """No better than any merit: that of a diverged trial, for searches and schedulers."""

    def merit(self, score: float) -> float:
        """A number that is higher for a better score."""
        return -score if self.lower_is_better else score

    def shown(self, score: float) -> str:
        """The score for people."""
        return f"{score:.{self.decimals}f}"


OBJECTIVES: dict[str, Objective] = {}
"""Every metric by which a sweep can choose. Each task has one of its own, so that the metrics of a
trial tell what it is chosen by."""


def _objective(
    name: str,
    unit: str,
    meaning: str,
    *,
    label: str,
    lower: bool = False,
    unbounded: bool = False,
    decimals: int = 2,
    title: str = "",
) -> str:
    worst = -1e9 if lower or unbounded else 0.0
    OBJECTIVES[name] = Objective(name, label, lower, decimals, title or label, worst)
    return _metric(name, unit, meaning)


SELECT_CIDER = _objective(
    "select/cider",
    "CIDEr x 100",
    "Score on the split by which learning rates are chosen.",
    label="CIDEr",
    title="CIDEr x 100",
)
REPORT_CIDER = _metric(
    "report/cider", "CIDEr x 100", "Score on the split that is reported and never chooses."
)
SELECT_VQA_ACCURACY = _objective(
    "select/vqa_accuracy",
    "0..100",
    "VQAv2, if it chooses: VQA accuracy over ten answers.",
    label="VQA accuracy",
)
SELECT_F1 = _objective(
    "select/f1", "0..100", "POPE, if it chooses: mean F1 of its three categories.", label="F1"
)
SELECT_MME = _objective(
    "select/mme", "0..2800", "MME, if it chooses: sum of acc and acc+ of its subtasks.", label="MME"
)
SELECT_EXACT_MATCH = _objective(
    "select/exact_match",
    "0..100",
    "Share of own questions answered right, if they choose.",
    label="exact match",
)
SELECT_LOSS = _objective(
    "select/loss",
    "nats per answer token",
    "Loss on data that is not trained on, if it chooses; lower is better.",
    label="loss",
    title="loss, nats per answer token",
    lower=True,
    decimals=4,
)
SELECT_SCORE = _objective(
    "select/score",
    "the scorer's",
    "Mean of an own scorer's scores, if they choose.",
    unbounded=True,
    label="score",
    decimals=4,
)
SELECT_COST = _objective(
    "select/cost",
    "the scorer's",
    "The same of a scorer with `direction: min`.",
    label="cost",
    lower=True,
    decimals=4,
)
OTHER_SCORES = _metric(
    "select/*, TASK/*",
    "as in docs/tasks.md",
    "Further scores of the task that chooses, and the scores of every task in `data.report`.",
)

SELECT_BATCH_SIZE = _metric(
    "select/batch_size",
    "images",
    "Asked at once: `data.select.batch_size`, or less where that ran out of memory.",
)
GATHERED_ONCE = _metric(
    "select/gathered_once",
    "0 or 1",
    "Under ZeRO-3: 1 if the whole weights fitted each worker and were gathered once for all "
    "captions, 0 if they were gathered again for each token.",
)

LOSS = _metric(
    "train/loss",
    "nats per answer token",
    "Mean over the answer tokens of the step's whole batch, without the strategy's penalty.",
)
LEARNING_RATE = _metric("train/lr", "1", "Learning rate of the schedule after the step.")
GRAD_NORM = _metric("train/grad_norm", "1", "Norm of the gradient before clipping.")
PENALTY = _metric("train/penalty", "nats", "What the strategy adds to the loss, as AdaLoRA does.")
TOKENS_PER_S = _metric(
    "train/tokens_per_s", "tokens/s", "Tokens trained per second, image tokens included."
)
PADDED_SHARE = _metric(
    "train/padded_share",
    "0..1",
    "Padding among the tokens of the step's micro-batches, each as long as its longest sample.",
)
DATA_WAIT_SHARE = _metric(
    "train/data_wait_share",
    "0..1",
    "Share of the step's time in which the training waited for images and tokens of a micro-batch; "
    "more threads may help, `resources.loader_workers`.",
)
FINAL_LOSS = _metric("train/final_loss", "nats per answer token", "Mean loss of the last 10 steps.")
MICRO_BATCH_SIZE = _metric(
    "train/micro_batch_size",
    "samples",
    "Micro-batch that the trial ran with, also where `auto` found it.",
)
GRADIENT_CHECKPOINTING = _metric(
    "train/gradient_checkpointing",
    "0 or 1",
    "Whether the trial ran with gradient checkpointing, also where `auto` decided it.",
)

PREPARE_S = _metric(
    "time/prepare_s", "s", "Model, data and stage 1 made ready; short on a warm worker."
)
ALIGN_S = _metric(
    "time/align_s", "s", "Stage 1, if the trial had to train it or to wait for one that did."
)
TRAIN_S = _metric("time/train_s", "s", "Training in this process, without what it resumed from.")
EVALUATE_S = _metric("time/evaluate_s", "s", "Scoring after training.")
ANALYSE_S = _metric("time/analyse_s", "s", "The paper's analyses, once the weights are saved.")
PREDICTED_TRAIN_S = _metric(
    "time/predicted_train_s", "s", "Training time at `resources.mfu` of the stated peak."
)

PARAMS_TOTAL = _metric("params/total", "parameters", "All, the vision tower included.")
PARAMS_TRAINABLE = _metric("params/trainable", "parameters", "Those that the strategy trains.")
PARAMS_SHARE = _metric("params/share", "0..1", "Trainable share of all parameters.")
PARAMS_BY_ROLE = _metric(
    "params/by_role/*", "parameters", "Trainable parameters of each role: norm, attn_q, mlp, ..."
)

PEAK_GIB = _metric(
    "memory/peak_gib",
    "GiB",
    "Peak during training: allocated on the GPU, or resident in the process on a CPU.",
)
START_GIB = _metric(
    "memory/start_gib",
    "GiB",
    "In use before the trial's own: the base without what the trial trains a copy of on a GPU, and "
    "anything that earlier trials have left behind.",
)
TRAINING_GIB = _metric(
    "memory/training_gib", "GiB", "How far the trial raised its worker's memory above its start."
)
PREDICTED_GIB = _metric("memory/predicted_gib", "GiB", "Predicted peak of a step.")
PREDICTED_TRAINING_GIB = _metric(
    "memory/predicted_training_gib",
    "GiB",
    "Predicted peak without the frozen weights; compares with `memory/training_gib`.",
)
PREDICTED_ACTIVATIONS_GIB = _metric(
    "memory/predicted_activations_gib", "GiB", "Activations in the predicted peak."
)
PREDICTED_OPTIMIZER_GIB = _metric(
    "memory/predicted_optimizer_gib", "GiB", "Optimizer state in the predicted peak."
)
PREDICTED_ANALYSIS_GIB = _metric(
    "memory/predicted_analysis_gib",
    "GiB",
    "Predicted peak of the analysis of layers: the weights and what it adds.",
)

GFLOP_PER_TOKEN = _metric(
    "compute/gflop_per_token", "GFLOP/token", "Predicted floating-point operations of training."
)
TFLOPS_PER_S = _metric("compute/tflops_per_s", "TFLOP/s", "Operations per second reached.")
MFU = _metric("compute/mfu", "0..1", "Share of `resources.gpu_peak_tflops` that was reached.")

LAYER_SIMILARITY = _metric(
    "analysis/layer_similarity", "-1..1", "Mean cosine similarity between layers' outputs."
)
GRAD_VARIANCE = _metric(
    "analysis/grad_variance",
    "1",
    "Variance of the blocks' gradients in the first 10 steps; absent where nothing trains there.",
)
GRAD_VARIANCE_NORMS = _metric(
    "analysis/grad_variance_norms", "1", "The same of the blocks' norms alone."
)

SYSTEM = _metric(
    "system/*", "as MLflow has it", "How busy the trial's node is: CPU, memory, network, GPUs."
)


def params_of_role(role: str) -> str:
    """Name of the metric that counts one role's trainable parameters."""
    return PARAMS_BY_ROLE.replace("*", role)


def selecting(name: str) -> str:
    """Name of a score of the task that chooses."""
    return f"select/{name}"


def reported(scores: Mapping[str, float]) -> dict[str, float]:
    """The main score of each task in `data.report` among the metrics of a trial, by its metric."""
    mains = {name.partition("/")[2] for name in OBJECTIVES}
    return {
        name: value
        for name, value in scores.items()
        if name not in METRICS and name.partition("/")[2] in mains
    }


def objective_in(names: Iterable[str]) -> str | None:
    """The metric among these by which a sweep chooses; None if a trial has not been scored."""
    found = [name for name in names if name in OBJECTIVES]
    assert len(found) <= 1, f"a trial has several scores to choose by: {found}"
    return found[0] if found else None
