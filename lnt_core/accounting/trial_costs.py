"""Costs of a trial, predicted and measured, as metrics."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from lnt_core import metrics as metric
from lnt_core.accounting.analysis import predict_analysis
from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.fit import sharded
from lnt_core.accounting.lengths import Lengths, encoded_lengths
from lnt_core.accounting.parameters import count_by_role, count_parameters, num_left_out
from lnt_core.accounting.predicted import StepCost, longest_batch, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.analysis.trial_analysis import NUM_IMAGES
from lnt_core.config import TuneConfig
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.memory import MemoryMeter, held_by
from lnt_core.distributed.ranks import num_workers
from lnt_core.distributed.zero_config import stage_of
from lnt_core.strategies import Strategy, StrategyConfig
from lnt_core.training.loop import Trained
from lnt_core.worker import Prepared


@dataclass(frozen=True)
class Prediction:
    """Predicted costs of a trial with encoded data."""

    step: StepCost
    """Cost of a step on each worker, for the longest conversations."""
    flops_per_token: float
    """FLOPs of the forward and backward pass per token, without recomputation."""
    analysis_gib: float | None
    """Peak GiB of the analysis, weights included; None without it."""


@dataclass(frozen=True)
class TrialSteps:
    """Predicts the cost of training steps of a trial, for its longest conversations.

    Predictions are cached by strategy and training config, so that trials of one worker that
    differ only in the learning rate share them.
    """

    model: nn.Module
    """With the strategy applied."""
    strategy: Strategy  # type: ignore[type-arg]
    options: StrategyConfig
    prepared: Prepared
    known: dict[str, Any]
    """The worker's cache of predictions."""

    @property
    def lengths(self) -> Lengths:
        """Lengths of the tune data, for which all of it is read: once a worker."""
        if "lengths" not in self.known:
            image_id = self.prepared.base.model.config.image_token_id
            self.known["lengths"] = encoded_lengths(self.prepared.samples, image_id=image_id)
        found: Lengths = self.known["lengths"]
        return found

    def of(self, train: TuneConfig) -> StepCost:
        """Cost of a step on each worker.

        Args:
            train: The training config, with nothing `auto` in it.
        """
        key = f"{self.options.model_dump_json()} {train.model_dump_json()}"
        if key not in self.known:
            self.known[key] = self._predict(train)
        return sharded(self.known[key], stage=stage_of(train.deepspeed), num_gpus=num_workers())

    def analysis_gib(self, train: TuneConfig) -> float:
        """GiB that the analysis of layers adds to the weights."""
        bf16 = train.precision == "bf16"
        key = f"{self.options.model_dump_json()} analysis {bf16}"
        if key not in self.known:
            base, task = self.prepared.base, self.prepared.select
            shape = StepShape(
                batch=min(NUM_IMAGES, len(task.images)),
                tokens=max(len(prompt.input_ids) for prompt in task.prompts[:NUM_IMAGES]),
                image_tokens=base.conversations.num_image_tokens,
                feature_channels=feature_channels(base.model, base.roles),
                answer_tokens=0,
            )
            on_gpu = is_gpu(base.device)
            cost = predict_analysis(self.model, base.roles, shape, bf16=bf16, on_gpu=on_gpu)
            self.known[key] = cost.gib
        found: float = self.known[key]
        return found

    def _predict(self, train: TuneConfig) -> StepCost:
        base = self.prepared.base
        on_gpu = is_gpu(base.device)
        beside_gib = held_by(self.model, base.model) - held_by(self.model)
        shape = longest_batch(
            self.model,
            base.roles,
            self.lengths,
            batch=train.micro_batch,
        )
        tower_gib = held_by(self.model, base.tower) - held_by(self.model)
        return predict_step(
            self.model,
            self.strategy,
            base.roles,
            train,
            shape,
            on_gpu=on_gpu,
            tower_gib=tower_gib,
            originals_gib=0.0 if on_gpu else beside_gib - tower_gib,  # see `lend_to`
        )


def predict_trial(steps: TrialSteps, train: TuneConfig) -> Prediction:
    """The prediction for a trial with the training config ``train``."""
    whole = steps.of(train.model_copy(update={"gradient_checkpointing": False}))
    step = steps.of(train) if train.checkpointing else whole
    return Prediction(
        step=step,
        analysis_gib=step.weights_gib + steps.analysis_gib(train) if train.analyse else None,
        flops_per_token=whole.flops / (train.micro_batch * steps.lengths.longest),
    )


def cost_metrics(
    model: nn.Module,
    prepared: Prepared,
    prediction: Prediction,
    trained: Trained,
    meter: MemoryMeter,
) -> dict[str, float]:
    """Metrics of parameters, memory and compute; call it after training, before evaluation.

    ``memory/training_gib`` is what the trial added to its worker's memory, and comparable with
    ``memory/predicted_training_gib``. On a CPU, ``memory/peak_gib`` includes the libraries.
    """
    base, step = prepared.base, prediction.step
    count = count_parameters(model, left_out=num_left_out(model, base.model, base.roles))
    by_role = count_by_role(model, base.roles)
    analysis_gib = prediction.analysis_gib
    return {
        **({} if analysis_gib is None else {metric.PREDICTED_ANALYSIS_GIB: analysis_gib}),
        metric.PARAMS_TOTAL: count.total,
        metric.PARAMS_TRAINABLE: count.trainable,
        metric.PARAMS_SHARE: count.share,
        **{metric.params_of_role(role): float(number) for role, number in by_role.items()},
        metric.PEAK_GIB: meter.peak_gib,
        metric.START_GIB: meter.start_gib,
        metric.TRAINING_GIB: meter.growth_gib,
        metric.PREDICTED_GIB: step.peak_gib,
        metric.PREDICTED_TRAINING_GIB: step.peak_gib - step.frozen_gib,
        metric.PREDICTED_ACTIVATIONS_GIB: step.activations_gib,
        metric.PREDICTED_OPTIMIZER_GIB: step.optimizer_gib,
        metric.GFLOP_PER_TOKEN: prediction.flops_per_token / 1e9,
        metric.TFLOPS_PER_S: prediction.flops_per_token * trained.tokens_per_s / 1e12,
    }
