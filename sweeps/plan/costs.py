"""Predicted memory and compute of a sweep's strategies, from models without weights."""

import copy
import functools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from lnt_core.accounting.features import FeatureCost, predict_features
from lnt_core.accounting.lengths import Lengths, estimated_lengths
from lnt_core.accounting.meta_trial import MetaTrial, scored, tokens_of_prompt
from lnt_core.accounting.parameters import count_by_role, count_parameters
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import AlignConfig, AnyTaskConfig, LossConfig
from lnt_core.data.samples import load_samples
from lnt_core.devices.memory import held_by
from lnt_core.errors import ConfigError, bad_field
from lnt_core.models.build import build_on_meta
from lnt_core.models.residual import keep_in_bf16
from lnt_core.models.roles import find_roles, parameters_of
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import Strategy, StrategyConfig, get_strategy
from sweeps.config import SweepConfig
from sweeps.plan.cost import Cost, gpu_hours, num_processed
from sweeps.plan.image_tokens import tokens_of_an_image
from sweeps.plan.room import (
    analysis_too_big,
    captioning_too_big,
    found_for_auto,
    hardly_fits,
    known,
    of_one_worker,
    step_too_big,
)
from sweeps.plan.space import value_combinations, with_values

if TYPE_CHECKING:
    from torch import nn


class Costs:
    """Predicts the costs of one sweep, on a model without weights that is built once.

    Args:
        sweep: The sweep.
        files: Whether the data files may be read for the lengths of conversations; otherwise
            `model.shapes` gives them.

    Raises:
        ConfigError: The architecture of the model is unknown.
    """

    def __init__(self, sweep: SweepConfig, *, files: bool) -> None:
        self._sweep, self._files = sweep, files
        self._skeleton = build_on_meta(sweep.model).requires_grad_(False)
        self._roles = find_roles(self._skeleton)
        self._vision = self._skeleton.config.vision_config
        self._image_tokens = tokens_of_an_image(sweep, self._vision, files=files)

    def problems(self, strategies: list[StrategyConfig]) -> list[str]:
        """Messages about values and strategies that do not go with the parts of the model."""
        found = self.value_problems()
        for strategy in strategies:
            try:
                self._apply(copy.deepcopy(self._skeleton), strategy)
            except ConfigError as error:
                found.append(f"search.strategy: {strategy.name}: {error}")
            if strategy.name == "connector" and not self._has_images("tune"):
                found.append(
                    "search.strategy: connector: data.tune has no image, so that nothing would be "
                    "trained"
                )
        return found

    def value_problems(self) -> list[str]:
        """Messages about a vision layer that is not there, and lengths without room for text."""
        return self._layer_problems() + self._length_problems()

    def _layer_problems(self) -> list[str]:
        if self._sweep.model.checkpoint is not None:
            return []
        layer, count = self._sweep.model.vision_feature_layer, self._vision.num_hidden_layers
        if -count - 1 <= layer <= count:
            return []
        allowed = f"from {-count - 1} to {count}: the vision tower has {count} layers"
        return [bad_field("model.vision_feature_layer", layer, allowed=allowed)]

    def _length_problems(self) -> list[str]:
        sweep, least = self._sweep, self._image_tokens + 1
        given = [
            ("train", with_values(sweep, values).train.max_length)
            for values in value_combinations(sweep)
        ]
        given += [("align", sweep.trial_align.max_length)] if sweep.trial_align else []
        return list(
            dict.fromkeys(
                bad_field(
                    f"{stage}.max_length",
                    max_length,
                    allowed=f"at least {least}: an image has {self._image_tokens} tokens",
                )
                for stage, max_length in given
                if max_length < least and self._has_images(stage)
            )
        )

    def _has_images(self, stage: str) -> bool:
        """Whether the data of a stage has images; assumed without files."""
        data = self._sweep.trial_data
        files = (data.align if stage == "align" else None) or data.tune
        if files is None or not self._files:
            return True
        return any(sample.images for sample in load_samples(files, seed=0))

    def lengths(self, sweep: SweepConfig) -> Lengths:
        """Estimated lengths of the conversations in the tune data."""
        return estimated_lengths(
            sweep.trial_data,
            sweep.model,
            image_tokens=self._image_tokens,
            max_length=sweep.train.max_length,
            seed=sweep.seed,
            files=self._files,
        )

    def stage_1_lengths(self, sweep: SweepConfig, align: AlignConfig) -> Lengths:
        """Estimated lengths of the conversations that stage 1 learns from."""
        data, shapes = sweep.trial_data, sweep.model.shapes
        model = sweep.model
        if data.align is not None and shapes is not None and shapes.align is not None:
            own = shapes.model_copy(update=shapes.align.model_dump())
            model = model.model_copy(update={"shapes": own})
        return estimated_lengths(
            data.model_copy(update={"tune": data.align or data.tune}),
            model,
            image_tokens=self._image_tokens,
            max_length=align.max_length,
            seed=align.seed,
            files=self._files,
        )

    def of(self, sweep: SweepConfig, strategy: StrategyConfig, lengths: Lengths) -> Cost:
        """The cost of a trial of a strategy.

        Args:
            sweep: The sweep, with the values of one combination put in place.
            strategy: The strategy with its options.
            lengths: The lengths of the conversations in the tune data.

        Raises:
            ConfigError: The model lacks a part that the strategy tunes.
        """
        tuned = self.tuned(sweep, strategy)
        allows = tuned.method.allows_checkpointing

        @functools.cache
        def predict(size: int, on: bool) -> StepCost:
            return tuned.predict(checkpointing=on, lengths=lengths, micro_batch_size=size)

        found = found_for_auto(sweep, strategy, predict, allows_checkpointing=allows)
        size, on = known(sweep.train, found, allows_checkpointing=allows)
        guess = {"micro_batch_size": size or 1, "gradient_checkpointing": on or False}
        train = sweep.train.model_copy(update=guess)
        tuned = replace(tuned, train=train)
        whole = predict(train.micro_batch, False)
        checkpointed = predict(train.micro_batch, True) if allows else None
        step = of_one_worker(predict(train.micro_batch, train.checkpointing), sweep, strategy)
        asked = sweep.train
        alone = predict(
            1 if asked.micro_batch_size == "auto" else train.micro_batch,
            allows if asked.gradient_checkpointing == "auto" else train.checkpointing,
        )
        flops_of_a_token = whole.flops / (train.micro_batch * lengths.longest)
        flops = flops_of_a_token * lengths.mean * num_processed(train, lengths)
        count = count_parameters(tuned.model)
        waiting_gib = step.optimizer_gib if sweep.train.evaluate_at_steps else 0.0  # midway
        standing_gib = step.weights_gib + waiting_gib
        select = scored(sweep.trial_data)
        evaluation_gib = standing_gib + tuned.generation_gib(select)
        analysis = tuned.analysis(select) if sweep.train.analyse else None
        analysis_gib = step.weights_gib + analysis.gib if analysis else 0.0
        analysis_flops = analysis.flops if analysis else 0.0
        return Cost(
            trainable_parameters=count.trainable,
            trainable_share=count.share,
            trainable_by_role=count_by_role(tuned.model, self._roles),
            micro_batch_size=size,
            gradient_checkpointing=on,
            step=step,
            alone=alone,
            evaluation_gib=evaluation_gib,
            analysis_gib=analysis_gib,
            activations_gib={
                "checkpointed": checkpointed.activations_gib if checkpointed else None,
                "whole": whole.activations_gib,
            },
            train_pflop=flops / 1e15,
            analysis_pflop=analysis_flops / 1e15,
            gpu_hours=gpu_hours(sweep, flops + analysis_flops),
            too_big=step_too_big(sweep, tuned, step, lengths)
            or captioning_too_big(sweep, tuned, standing_gib, evaluation_gib)
            or analysis_too_big(sweep, analysis_gib)
            or hardly_fits(found),
        )

    def features(self, sweep: SweepConfig) -> FeatureCost | None:
        """The cost of the features of one image; None where it is not known."""
        return predict_features(
            self._skeleton,
            self._roles,
            image_tokens=self._image_tokens,
            bytes_per_value=2 if sweep.train.precision == "bf16" else 4,
        )

    def answering_flops(self, sweep: SweepConfig, options: AnyTaskConfig, number: int) -> float:
        """Operations of answering a task's questions, if every answer has its full length.

        Twice the weights that a token passes, those of the vision tower left out.

        Args:
            sweep: The sweep.
            options: The task's.
            number: How many questions it has.
        """
        tower = parameters_of(self._skeleton, self._roles.require("vision")).values()
        weights = sum(p.numel() for p in self._skeleton.parameters())
        weights -= sum(p.numel() for p in tower)
        if isinstance(options, LossConfig):
            tokens = self.lengths(sweep).mean
        else:
            prompt = tokens_of_prompt(options, image_tokens=self._image_tokens)
            tokens = prompt + options.max_new_tokens
        return float(2 * weights * tokens * number)

    def tuned(
        self, sweep: SweepConfig, strategy: StrategyConfig, *, lends: bool = True
    ) -> MetaTrial:
        """A model without weights with a strategy applied.

        Args:
            sweep: The sweep, with the values of one combination put in place.
            strategy: The strategy with its options.
            lends: The base lends its memory on a GPU to what trains, as in stage 2.

        Raises:
            ConfigError: The model lacks a part that the strategy tunes.
        """
        import torch

        model = copy.deepcopy(self._skeleton)
        if sweep.train.precision == "bf16":
            model.to(torch.bfloat16)
            keep_in_bf16(model, self._roles)
        base = torch.nn.ParameterList(parameter.detach() for parameter in model.parameters())
        tuned, method = self._apply(model, strategy)
        own_trainable(tuned)
        on_gpu = sweep.resources.gpus_per_trial > 0
        beside_gib = held_by(tuned, base) - held_by(tuned)
        return MetaTrial(
            tuned,
            method,
            self._roles,
            sweep.train,
            self._image_tokens,
            on_gpu=on_gpu,
            # see `VisionLanguageModel.lend_to`
            originals_gib=0.0 if on_gpu and lends else beside_gib,
        )

    def _apply(self, model: "nn.Module", strategy: StrategyConfig) -> tuple["nn.Module", Strategy]:  # type: ignore[type-arg]
        import torch

        method = get_strategy(strategy.name)
        with warnings.catch_warnings(), torch.device("meta"):  # nothing is allocated
            warnings.simplefilter("ignore")
            return method.apply(model, self._roles, strategy), method
