"""The engine of several workers: DeepSpeed's ZeRO (Rajbhandari et al., arXiv:1910.02054).

Uses ``deepspeed.initialize``, which gives the same results on CPU with gloo and on GPU with NCCL;
accelerate's plugin does not train correctly on CPU.
"""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from lnt_core.config import TuneConfig
from lnt_core.distributed.ranks import is_first, join, num_workers, rank, wait_for_all
from lnt_core.distributed.sharded import deepspeed_quietly, shards
from lnt_core.distributed.zero_config import offloads_optimizer, zero_section
from lnt_core.errors import TrialError
from lnt_core.seeding import random_states, set_random_states
from lnt_core.training.checkpoints import save_atomically
from lnt_core.training.engine import Engine, Number
from lnt_core.training.recovery import COMPLETE, complete_steps, forget_steps
from lnt_core.training.shares import micro_batches_each
from lnt_core.training.zero_strategy import BetweenSteps

STRATEGY = "strategy.pt"
"""File with the strategy's state, which is the same on all workers."""


class ZeroEngine(Engine):
    """One of the workers of a trial; all of them must call the same methods in the same order.

    DeepSpeed averages gradients over workers, but the losses here add up to the mean of the global
    batch, so they are multiplied by the number of workers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self._config, TuneConfig)
        deepspeed = deepspeed_quietly()
        join(self._parameters[0].device.type)
        self._engine, *_ = deepspeed.initialize(
            model=self.state.model,
            optimizer=self.state.optimizer,
            config=_deepspeed_config(self._config),
            dist_init_required=False,
        )
        self._between = BetweenSteps(self.state.strategy, self.state.model)

    @override
    def make_optimizer(self, groups: Any, learning_rate: float) -> Optimizer:
        """AdamW; DeepSpeed's version for the CPU if the config offloads the optimizer."""
        assert isinstance(self._config, TuneConfig)
        if not offloads_optimizer(self._config.deepspeed):
            return super().make_optimizer(groups, learning_rate)
        made: Optimizer = deepspeed_quietly().ops.adam.DeepSpeedCPUAdam(
            groups,
            lr=learning_rate,
            weight_decay=self._config.weight_decay,
            adamw_mode=True,
        )
        return made

    @property
    @override
    def model(self) -> nn.Module:
        engine: nn.Module = self._engine
        return engine

    @override
    def backward(self, loss: Tensor, *, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        loss = loss * num_workers()
        if last:  # all workers add the same penalty, so the average over them is the penalty
            loss = self._between.with_penalty(loss)
        self._engine.backward(loss, scale_wrt_gas=False)

    @override
    def summed(self, value: Number) -> Number:
        total = torch.as_tensor(value, dtype=torch.float64, device=self._engine.device).clone()
        dist.all_reduce(total)
        return total

    @override
    def gradient(self, parameter: nn.Parameter) -> Tensor | None:
        from deepspeed.utils import safe_get_full_grad

        gradient: Tensor | None = safe_get_full_grad(parameter)
        return None if gradient is None else self._between.without_penalty(parameter, gradient)

    @override
    def penalty(self) -> float | None:
        """Value of the penalty, whose gradient the last micro-batch's backward pass added."""
        return self._between.penalty

    @override
    def update(self, step: int) -> float:
        self._between.keep_gradients()
        self._engine.step()
        self.state.schedule.step()
        norm = float(self._engine.get_global_grad_norm())
        self._between.after_step(step, clip=min(1.0, self._config.max_grad_norm / (norm + 1e-6)))
        return norm

    @override
    def clear(self) -> None:
        """Nothing to do: DeepSpeed clears the gradients in its step."""

    @override
    def save(self, path: Path, *, step: int, monitor: Any) -> None:
        """Each worker writes its shard; then ``COMPLETE`` names all files of the step's folder.

        The checkpoint before it is kept, as by ``save_checkpoint``.
        """
        folder, tag = shards(path), f"step-{step}"
        if is_first():
            forget_steps(folder, keep=1)
        wait_for_all()
        self._engine.save_checkpoint(
            str(folder), tag=tag, save_latest=False, exclude_frozen_parameters=True
        )
        own = {
            "schedule": self.state.schedule.state_dict(),
            **random_states(self._engine.device),
        }
        save_atomically(own, folder / tag / f"worker-{rank()}.pt")
        if is_first():
            save_atomically(self.state.strategy.state(self.state.model), folder / tag / STRATEGY)
        wait_for_all()
        if is_first():
            written = folder / tag
            complete = {
                "step": step,
                "workers": num_workers(),
                "monitor": monitor,
                "files": {p.name: p.stat().st_size for p in sorted(written.iterdir())},
            }
            save_atomically(complete, written / COMPLETE)
        wait_for_all()

    @override
    def load(self, path: Path) -> tuple[int, Any] | None:
        folder = shards(path)
        written = complete_steps(folder)
        if not written:
            return None
        tag = written[0].name
        complete = torch.load(written[0] / COMPLETE, weights_only=True)
        if complete["workers"] != num_workers():
            raise TrialError(
                f"the number of workers is {num_workers()}, but must be {complete['workers']} as "
                f"in the checkpoint in {folder}; set resources.workers_per_trial to that number, "
                "or remove the checkpoint"
            )
        self._engine.load_checkpoint(str(folder), tag=tag, load_module_strict=False)
        own = torch.load(folder / tag / f"worker-{rank()}.pt", weights_only=True)
        made, optimizer = self.state.schedule, self.state.optimizer
        made.load_state_dict(own["schedule"])
        for group, rate in zip(optimizer.param_groups, made.get_last_lr(), strict=True):
            group["lr"] = rate
        kept = torch.load(
            folder / tag / STRATEGY, map_location=self._engine.device, weights_only=True
        )
        self.state.strategy.load_state(self.state.model, kept)
        set_random_states(own, self._engine.device)
        return complete["step"], complete["monitor"]


def _deepspeed_config(config: TuneConfig) -> dict[str, Any]:
    given = config.deepspeed if isinstance(config.deepspeed, dict) else {}
    own: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.micro_batch,
        # one worker may cut a batch into others (`shares`): `backward` says which is the last
        "gradient_accumulation_steps": micro_batches_each(
            config.batch_size, size=config.micro_batch, workers=num_workers()
        ),
        "gradient_clipping": config.max_grad_norm,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
    }
    if config.precision == "bf16":
        own["torch_autocast"] = {
            "enabled": True,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],  # none: gradients are reduced in float32
        }
    return given | own | {"zero_optimization": zero_section(config.deepspeed)}
