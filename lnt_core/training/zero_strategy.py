"""A strategy's ``penalty`` and ``after_step`` under DeepSpeed's sharding."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from lnt_core.distributed.sharded import is_sharded, whole
from lnt_core.strategies.base import Strategy


class BetweenSteps:
    """Calls a strategy's ``penalty`` and ``after_step`` on gathered tensors, on every worker.

    DeepSpeed reduces gradients in the backward pass of a step's last micro-batch and clears them
    in its step. So the penalty is added in that backward pass, and the gradients are copied for
    the strategy's ``after_step``.
    """

    def __init__(self, strategy: Strategy, model: nn.Module) -> None:  # type: ignore[type-arg]
        self.penalty: float | None = None
        """Value of the penalty in this step; None before the last micro-batch."""
        self._strategy = strategy
        self._model = model
        self._parameters: Sequence[nn.Parameter] = strategy.used_between_steps(model)
        self._of_penalty: dict[nn.Parameter, Tensor] = {}
        self._gradients: dict[nn.Parameter, Tensor] = {}

    def with_penalty(self, loss: Tensor) -> Tensor:
        """The sum of ``loss`` and the strategy's penalty.

        The penalty's gradient is computed here, where the parameters are gathered. Under ZeRO-3
        they are sharded again when the backward pass of ``loss`` runs, and the penalty's graph
        would refer to tensors that no longer exist.
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
        """Subtract the penalty's part from DeepSpeed's gradient of a parameter."""
        known = self._of_penalty.get(parameter)
        return gradient if known is None else gradient - known

    def keep_gradients(self) -> None:
        """Copy the whole gradients that ``after_step`` needs; call before DeepSpeed's step."""
        from deepspeed.utils import safe_get_full_grad

        self._gradients = {p: safe_get_full_grad(p).clone() for p in self._parameters}

    @torch.no_grad()
    def after_step(self, step: int, *, clip: float) -> None:
        """Call the strategy's ``after_step`` on gathered tensors; write back what it changed.

        Args:
            step: The optimizer step, from 1.
            clip: Factor by which DeepSpeed's step scaled the gradients to clip them.
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
        """Copy the parameters into DeepSpeed's fp32 copy, which its optimizer updates."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        sharded, parameters = is_sharded(self._model), cast("Sequence[Any]", self._parameters)
        for parameter in parameters:
            if sharded:  # the local shard, whose padding the whole parameter lacks
                safe_set_local_fp32_param(parameter, parameter.ds_tensor)
            else:
                safe_set_full_fp32_param(parameter, parameter.detach())


class _WithGradients(torch.autograd.Function):
    """Returns a value whose gradients are given; takes ``value, gradients, *parameters``."""

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
