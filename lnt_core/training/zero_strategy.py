"""A strategy's penalty, and what it does after a step, where workers hold parameters in parts."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from lnt_core.distributed.sharded import is_sharded, whole
from lnt_core.strategies.base import Strategy


class BetweenSteps:
    """What a strategy reads and changes beside the loss; every worker does the same.

    DeepSpeed reduces gradients in the backward of a step's last micro-batch and forgets them in
    its step. So the penalty joins that backward, and the gradients are kept until the strategy
    has seen them.
    """

    def __init__(self, strategy: Strategy, model: nn.Module) -> None:  # type: ignore[type-arg]
        self.penalty: float | None = None
        """Of this step, once its last micro-batch has gone backward."""
        self._strategy = strategy
        self._model = model
        self._parameters: Sequence[nn.Parameter] = strategy.used_between_steps(model)
        self._of_penalty: dict[nn.Parameter, Tensor] = {}
        self._gradients: dict[nn.Parameter, Tensor] = {}

    def with_penalty(self, loss: Tensor) -> Tensor:
        """``loss``, and in its backward the penalty's gradient, which is computed here.

        Under ZeRO-3 a parameter is whole only in here; a graph that stood until the backward
        would have saved what is gone by then.
        """
        with whole(self._parameters):
            penalty = self._strategy.penalty(self._model)
            if penalty is None:
                return loss
            found: Sequence[Tensor | None] = torch.autograd.grad(
                penalty, self._parameters, allow_unused=True
            )
            pairs = zip(self._parameters, found, strict=True)
            self._of_penalty = {p: g for p, g in pairs if g is not None}
            self.penalty = penalty.item()
            known: Tensor = _WithGradients.apply(  # type: ignore[no-untyped-call]
                penalty.detach(), list(self._of_penalty.values()), *self._of_penalty
            )
        return loss + known

    def without_penalty(self, parameter: nn.Parameter, gradient: Tensor) -> Tensor:
        """The loss's own gradient, of the one that DeepSpeed has."""
        known = self._of_penalty.get(parameter)
        return gradient if known is None else gradient - known

    def keep_gradients(self) -> None:
        """Before DeepSpeed's step: copy those that the strategy reads after it, whole."""
        from deepspeed.utils import safe_get_full_grad

        self._gradients = {p: safe_get_full_grad(p).clone() for p in self._parameters}

    @torch.no_grad()
    def after_step(self, step: int, *, clip: float) -> None:
        """Let the strategy act on whole parameters and gradients, and keep what it changed.

        Args:
            step: The optimiser step, from 1 on.
            clip: What DeepSpeed multiplied gradients by in its step.
        """
        with whole(self._parameters, changed=True):
            for parameter, gradient in self._gradients.items():
                parameter.grad = gradient.mul_(clip)
            self._strategy.after_step(self._model, step)
            for parameter in self._parameters:
                parameter.grad = None
        self._to_optimizer()
        self._gradients, self._of_penalty, self.penalty = {}, {}, None

    def _to_optimizer(self) -> None:
        """DeepSpeed's optimiser steps on a copy of its own, from which the model's comes."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        sharded, parameters = is_sharded(self._model), cast("Sequence[Any]", self._parameters)
        for parameter in parameters:
            if sharded:  # its part with the padding, for which the whole is too short
                safe_set_local_fp32_param(parameter, parameter.ds_tensor)
            else:
                safe_set_full_fp32_param(parameter, parameter.detach())


class _WithGradients(torch.autograd.Function):
    """A number whose gradients are known: ``value, gradients, *parameters`` to ``value``."""

    @staticmethod
    @override
    def forward(ctx: Any, *args: Any) -> Tensor:
        value, ctx.gradients = args[0], args[1]
        copied: Tensor = value.clone()
        return copied

    @staticmethod
    @override
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        return (None, None, *(upstream[0] * gradient for gradient in ctx.gradients))
