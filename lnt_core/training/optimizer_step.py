"""One optimizer step: the losses of its micro-batches, their gradients, the update."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lnt_core import metrics as metric
from lnt_core.config import TrainConfig
from lnt_core.training.answers import answer_loss
from lnt_core.training.batches import Batch
from lnt_core.training.engine import Engine, Number
from lnt_core.training.shares import Share

Gradient = Callable[[nn.Parameter], Tensor | None]
"""Returns a parameter's gradient of the global batch."""
AfterBackward = Callable[[int, Gradient], None]
"""Called with a step and the gradients of its loss, before clipping, without the penalty's."""


@dataclass(frozen=True)
class Step:
    """Measurements of one optimizer step."""

    loss: float
    """In nats per answer token, without the strategy's penalty."""
    learning_rate: float
    """Learning rate of the schedule after the step."""
    grad_norm: float
    """Norm of the gradient before clipping, penalty included."""
    penalty: float | None
    """Value of the strategy's penalty; None if it has none."""
    padded_share: float
    """Padding among the tokens of the micro-batches of all workers, 0..1."""

    def metrics(self) -> dict[str, float]:
        """The measurements by their names in MLflow."""
        measured = {
            metric.LOSS: self.loss,
            metric.LEARNING_RATE: self.learning_rate,
            metric.GRAD_NORM: self.grad_norm,
            metric.PADDED_SHARE: self.padded_share,
        }
        return measured if self.penalty is None else measured | {metric.PENALTY: self.penalty}


def optimizer_step(
    engine: Engine,
    share: Share,
    config: TrainConfig,
    *,
    step: int,
    take: Callable[[], Batch],
    after_backward: AfterBackward | None = None,
) -> Step:
    """Take one optimizer step on a global batch, of which this worker runs its share.

    Args:
        engine: Computes gradients and takes the step.
        share: What this worker runs.
        config: The training config.
        step: Number of this step, from 1.
        take: Returns the micro-batches of the share, one after the other.
        after_backward: As in ``Hooks``.
    """
    own = share.micro_batches
    total: Tensor | float = 0.0
    for number, samples in enumerate(own, start=1):
        loss = answer_loss(
            engine.model,
            take(),
            num_answer_tokens=share.num_answer_tokens,
            bf16=config.precision == "bf16",
        )
        loss = _reaching(loss, engine.model)
        engine.backward(loss if samples else 0 * loss, last=number == len(own))
        if samples:
            total = total + loss.detach().double()
    loss_of_all = engine.summed(total)
    if after_backward is not None:
        after_backward(step, engine.gradient)
    penalty = engine.penalty()
    norm = engine.update(step)
    engine.clear()
    read = _read(loss_of_all, norm, *([] if penalty is None else [penalty]))
    rate = float(engine.state.schedule.get_last_lr()[0])
    padded = share.padded_share
    return Step(read[0], rate, read[1], None if penalty is None else read[2], padded)


def _read(*values: Number) -> list[float]:
    """The values as floats, read together: the host waits for the device once a step."""
    there = [value.detach().double() for value in values if isinstance(value, Tensor)]
    one = [value.to(there[0].device) for value in there]  # an offloaded optimizer's is the host's
    read = iter(torch.stack(one).tolist() if one else [])
    return [float(next(read)) if isinstance(value, Tensor) else value for value in values]


def _reaching(loss: Tensor, model: nn.Module) -> Tensor:
    """The loss with a gradient, of zeros where text alone uses nothing that trains.

    Of a micro-batch without images, the connector has no part in the loss.
    """
    if loss.requires_grad:
        return loss
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return loss + sum(0.0 * parameter.sum() for parameter in trained)
