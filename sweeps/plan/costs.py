"""What each strategy of a sweep would cost, from models without weights."""

import copy
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lnt_core.accounting.fit import sharded, what_would_fit
from lnt_core.accounting.lengths import Lengths, estimated_lengths
from lnt_core.accounting.meta_trial import MetaTrial
from lnt_core.accounting.micro_batch import MicroBatch, choose
from lnt_core.accounting.parameters import count_by_role, count_parameters
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig
from lnt_core.distributed.zero_config import stage_of
from lnt_core.errors import ConfigError
from lnt_core.models.build import build_on_meta
from lnt_core.models.roles import find_roles
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import Strategy, StrategyConfig, get_strategy
from sweeps.config import SweepConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Cost:
    """What a strategy costs, whatever the learning rate."""

    trainable_parameters: int
    trainable_share: float
    trainable_by_role: dict[str, int]
    micro_batch_size: int | None
    """Given, or found for the stated GPU memory. None if it is found on the device: the numbers
    are of one sample then."""
    step: StepCost
    """Memory of one optimiser step as configured, at the longest conversations."""
    alone: StepCost
    """The same in one process, for `auto` at micro batch 1; each worker of a trial that has several
    takes ``step``."""
    evaluation_gib: float
    """Weights and what captioning adds to them."""
    activations_gib: dict[str, float | None]
    """``checkpointed`` and ``whole``; None where the strategy does not allow it."""
    train_pflop: float
    """Of the whole trial, forward and backward, without recomputation; 10^15."""
    gpu_hours: float | None
    """Of training, at the stated share of the stated peak."""
    too_big: str
    """If it does not fit the stated GPU memory, what would; or that it hardly does; else empty."""

    @property
    def memory_gib(self) -> float:
        """The larger peak of the two."""
        return max(self.step.peak_gib, self.evaluation_gib)


class Costs:
    """Predicts for one sweep; the model's skeleton is built once.

    Args:
        sweep: Its model, data, training and resources.
        files: The data files may be read, for the lengths of conversations.

    Raises:
        ConfigError: The model is of an unknown architecture.
    """

    def __init__(self, sweep: SweepConfig, *, files: bool) -> None:
        self._files = files
        self._skeleton = build_on_meta(sweep.model).requires_grad_(False)
        self._roles = find_roles(self._skeleton)
        vision = self._skeleton.config.vision_config
        self._image_tokens = int(vision.image_size // vision.patch_size) ** 2

    def problems(self, strategies: list[StrategyConfig]) -> list[str]:
        """Strategies that want a part which the model has not; empty if there is none."""
        found = []
        for strategy in strategies:
            try:
                self._apply(copy.deepcopy(self._skeleton), strategy)
            except ConfigError as error:
                found.append(f"search.strategy: {strategy.name}: {error}")
        return found

    def lengths(self, sweep: SweepConfig) -> Lengths:
        """Of the tune data; estimated."""
        return estimated_lengths(
            sweep.trial_data,
            sweep.model.shapes,
            image_tokens=self._image_tokens,
            max_length=sweep.train.max_length,
            seed=sweep.seed,
            files=self._files,
        )

    def of(self, sweep: SweepConfig, strategy: StrategyConfig, lengths: Lengths) -> Cost:
        """A strategy's cost.

        Args:
            sweep: The one given, with varied values put in place.
            strategy: With its options.
            lengths: Of the tune data.

        Raises:
            ConfigError: The model lacks what the strategy tunes.
        """
        tuned = self._tuned(sweep, strategy)
        is_auto, found = sweep.train.micro_batch_size == "auto", None
        if is_auto:
            found = _found(sweep, strategy, tuned, lengths)
            size = {"micro_batch_size": found.size if found else 1}
            tuned = replace(tuned, train=tuned.train.model_copy(update=size))
        train = tuned.train
        whole = tuned.predict(checkpointing=False, lengths=lengths)
        checkpointed = None
        if tuned.method.allows_checkpointing:
            checkpointed = tuned.predict(checkpointing=True, lengths=lengths)
        step = checkpointed if checkpointed and train.gradient_checkpointing else whole
        alone = step
        if is_auto:
            on = train.gradient_checkpointing
            alone = tuned.predict(checkpointing=on, lengths=lengths, micro_batch_size=1)
        step = _shared(step, sweep, strategy)
        flops_per_token = whole.flops / (train.micro_batch * lengths.longest)
        flops = flops_per_token * lengths.mean * _num_processed(train, lengths)
        count = count_parameters(tuned.model)
        evaluation_gib = step.weights_gib + tuned.generation_gib(sweep.trial_data)
        return Cost(
            trainable_parameters=count.trainable,
            trainable_share=count.share,
            trainable_by_role=count_by_role(tuned.model, self._roles),
            micro_batch_size=None if is_auto and found is None else train.micro_batch,
            step=step,
            alone=alone,
            evaluation_gib=evaluation_gib,
            activations_gib={
                "checkpointed": checkpointed.activations_gib if checkpointed else None,
                "whole": whole.activations_gib,
            },
            train_pflop=flops / 1e15,
            gpu_hours=_gpu_hours(sweep, flops),
            too_big=_too_big(sweep, tuned, step, lengths)
            or _too_long(sweep, evaluation_gib)
            or ("" if found is None or found.fits else f"micro_batch_size {found}"),
        )

    def _tuned(self, sweep: SweepConfig, strategy: StrategyConfig) -> MetaTrial:
        import torch

        model = copy.deepcopy(self._skeleton)
        if sweep.train.precision == "bf16":
            model.to(torch.bfloat16)
        tuned, method = self._apply(model, strategy)
        own_trainable(tuned)
        on_gpu = sweep.resources.gpus_per_trial > 0
        return MetaTrial(tuned, method, self._roles, sweep.train, self._image_tokens, on_gpu)

    def _apply(self, model: "nn.Module", strategy: StrategyConfig) -> tuple["nn.Module", Strategy]:  # type: ignore[type-arg]
        method = get_strategy(strategy.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return method.apply(model, self._roles, strategy), method


def _num_processed(train: TrainConfig, lengths: Lengths) -> int:
    """Samples that a trial trains on, each time it does."""
    return train.num_steps(lengths.num_samples) * train.batch_size


def _memory_gib(sweep: SweepConfig) -> float | None:
    """Of the GPU, as far as it is one trial's: trials that share a GPU share its memory."""
    memory = sweep.resources.gpu_memory_gib
    return None if memory is None else memory * sweep.resources.gpu_share


def _shared(step: StepCost, sweep: SweepConfig, strategy: StrategyConfig) -> StepCost:
    """What each worker takes of a step."""
    if not sweep.resources.may_use_deepspeed(strategy.name):
        return step
    workers = sweep.resources.workers_of(strategy.name)
    return sharded(step, stage=stage_of(sweep.train.deepspeed), num_gpus=workers)


def _found(
    sweep: SweepConfig, strategy: StrategyConfig, tuned: MetaTrial, lengths: Lengths
) -> MicroBatch | None:
    """The micro batch that `auto` is on a GPU of the stated memory; None without one."""
    train, room_gib = sweep.train, _memory_gib(sweep)
    if room_gib is None or not sweep.resources.gpus_per_trial:
        return None

    def predict(size: int) -> StepCost:
        on = train.gradient_checkpointing
        step = tuned.predict(checkpointing=on, lengths=lengths, micro_batch_size=size)
        return _shared(step, sweep, strategy)

    workers = sweep.resources.workers_of(strategy.name)
    return choose(predict, train, room_gib=room_gib, workers=workers)


def _too_long(sweep: SweepConfig, evaluation_gib: float) -> str:
    memory_gib = _memory_gib(sweep)
    if memory_gib is None or evaluation_gib <= memory_gib:
        return ""
    return (
        f"captioning takes {evaluation_gib:.1f} GiB, which do not fit {memory_gib:g} GiB; "
        "lower data.select.batch_size"
    )


def _too_big(sweep: SweepConfig, tuned: MetaTrial, step: StepCost, lengths: Lengths) -> str:
    memory_gib = _memory_gib(sweep)
    if memory_gib is None or step.peak_gib <= memory_gib:
        return ""
    checkpointing = sweep.train.gradient_checkpointing
    fit = what_would_fit(
        lambda micro: tuned.predict(
            checkpointing=checkpointing, lengths=lengths, micro_batch_size=micro
        ),
        tuned.train,
        memory_gib=memory_gib,
    )
    return f"{step.peak_gib:.1f} GiB do not fit {memory_gib:g} GiB; {fit}"


def _gpu_hours(sweep: SweepConfig, flops: float) -> float | None:
    peak_tflops = sweep.resources.gpu_peak_tflops
    if peak_tflops is None:
        return None
    return flops / (peak_tflops * 1e12 * sweep.resources.mfu) / 3600
