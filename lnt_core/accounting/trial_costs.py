"""What one trial took, beside what was predicted for it: the metrics of MLflow."""

from dataclasses import dataclass

from torch import nn

from lnt_core.accounting.fit import sharded
from lnt_core.accounting.ledger import GIB
from lnt_core.accounting.lengths import encoded_lengths
from lnt_core.accounting.measured import MemoryMeter
from lnt_core.accounting.parameters import count_by_role, count_parameters
from lnt_core.accounting.predicted import StepCost, StepShape, feature_channels, predict_step
from lnt_core.config import TrialConfig, TuneConfig
from lnt_core.distributed import num_workers
from lnt_core.strategies import Strategy
from lnt_core.training.loop import Trained
from lnt_core.training.zero_config import stage_of
from lnt_core.worker import Prepared, Worker


@dataclass(frozen=True)
class Prediction:
    """Of a trial whose conversations' lengths are known."""

    step: StepCost
    """At the longest conversations."""
    flops_per_token: float
    """Forward and backward, without recomputation."""


def predict_trial(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    prepared: Prepared,
    config: TrialConfig,
    worker: Worker,
) -> Prediction:
    """Predict once per strategy and training config; trials at other rates are given the same."""
    key = f"{config.strategy.model_dump_json()} {config.train.model_dump_json()}"
    if key not in worker.predictions:
        worker.predictions[key] = _predict(model, strategy, prepared, config.train)
    prediction: Prediction = worker.predictions[key]
    return prediction


def _predict(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    prepared: Prepared,
    train: TuneConfig,
) -> Prediction:
    base, lengths = prepared.base, encoded_lengths(prepared.samples)
    shape = StepShape(
        batch=train.micro_batch_size,
        tokens=lengths.longest,
        image_tokens=base.conversations.num_image_tokens,
        feature_channels=feature_channels(model, base.roles),
        answer_tokens=lengths.longest_answer,
    )
    tower = sum(p.numel() * p.element_size() for p in base.tower.parameters())

    def step(*, checkpointing: bool) -> StepCost:
        changed = train.model_copy(update={"gradient_checkpointing": checkpointing})
        on_gpu = base.device.type == "cuda"
        cost = predict_step(
            model, strategy, base.roles, changed, shape, on_gpu=on_gpu, tower_gib=tower / GIB
        )
        return sharded(cost, stage=stage_of(train.deepspeed), num_gpus=num_workers())

    whole = step(checkpointing=False)
    return Prediction(
        step=step(checkpointing=True) if train.gradient_checkpointing else whole,
        flops_per_token=whole.flops / (shape.batch * shape.tokens),
    )


def cost_metrics(
    model: nn.Module,
    prepared: Prepared,
    prediction: Prediction,
    trained: Trained,
    meter: MemoryMeter,
) -> dict[str, float]:
    """Parameters, memory and compute; to be asked for between training and evaluation.

    ``memory/training_gib`` is what the trial added to its worker, and so compares with
    ``memory/predicted_training_gib``; ``memory/peak_gib`` of a CPU has the libraries in it.
    """
    base, step = prepared.base, prediction.step
    left_out = sum(p.numel() for p in base.tower.parameters())
    count = count_parameters(model, left_out=left_out)
    by_role = count_by_role(model, base.roles)
    return {
        "params/total": count.total,
        "params/trainable": count.trainable,
        "params/share": count.share,
        **{f"params/by_role/{role}": float(number) for role, number in by_role.items()},
        "memory/peak_gib": meter.peak_gib,
        "memory/training_gib": meter.growth_gib,
        "memory/predicted_gib": step.peak_gib,
        "memory/predicted_training_gib": step.peak_gib - step.frozen_gib,
        "memory/predicted_activations_gib": step.activations_gib,
        "memory/predicted_optimizer_gib": step.optimizer_gib,
        "compute/gflop_per_token": prediction.flops_per_token / 1e9,
        "compute/tflops_per_s": prediction.flops_per_token * trained.tokens_per_s / 1e12,
    }
