"""Memory and FLOPs of a training step, from a run of it on tensors that have only a shape.

The step is the real one (the model's own code, autograd, checkpointing, AdamW), so what a frozen
layer does not save for its backward pass is not counted either. That is where strategies differ.
"""

import contextlib
import copy
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from lnt_core.config import TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy
from lnt_core.training.optimizer import adamw, set_checkpointing

GIB = 2**30


@dataclass(frozen=True)
class StepShape:
    """One micro-batch: B conversations of T tokens, one image each."""

    batch: int
    tokens: int
    """With the image's."""
    image_tokens: int
    feature_channels: int
    """Of the vision tower's output."""
    answer_tokens: int
    """From the first answer to the end; the head computes no others."""


@dataclass(frozen=True)
class StepCost:
    """What one micro-batch and the optimiser step after it take."""

    weights_gib: float
    """Of the whole model, vision tower included."""
    frozen_gib: float
    """Of them, those that do not train and so are the base's own."""
    gradients_gib: float
    optimizer_gib: float
    activations_gib: float
    """At the peak, what is neither of the above: activations, and temporaries of the step."""
    flops: float
    """Of one micro-batch, forward and backward; with checkpointing the recomputation counts."""

    @property
    def growth_gib(self) -> float:
        """What training adds to the tuned model's weights."""
        return self.gradients_gib + self.optimizer_gib + self.activations_gib

    @property
    def peak_gib(self) -> float:
        """All of it at the peak."""
        return self.weights_gib + self.growth_gib


def feature_channels(model: nn.Module, roles: Roles) -> int:
    """Channels of the vision tower's output: what the connector takes; 0 without a connector."""
    if roles.connector is None:
        return 0
    base: nn.Module = getattr(model, "get_base_model", lambda: model)()
    connector = base.get_submodule(roles.connector)
    return next(m.in_features for m in connector.modules() if isinstance(m, nn.Linear))


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages alive, their peak, and the FLOPs of what is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = 0
        self.peak_bytes = 0
        self.flops = 0
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's storage once, until it is freed."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live_bytes -= size

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.flops += _flops(func, args, kwargs or {}, result)
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.add(value)
        return result


def _flops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """By torch's own formulas; the CPU's fused attention counts as the GPU's."""
    aten = torch.ops.aten
    packet = {
        aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            aten._scaled_dot_product_flash_attention_backward
        ),
    }.get(func.overloadpacket, func.overloadpacket)
    formula = flop_registry.get(packet)
    return int(formula(*args, **kwargs, out_val=result)) if formula is not None else 0


def predict_step(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    train: TrainConfig,
    shape: StepShape,
    *,
    on_gpu: bool,
    tower_gib: float = 0.0,
) -> StepCost:
    """Run one step of a tuned model on shapes alone; nothing is computed or allocated.

    Args:
        model: To which ``strategy`` was applied, on any device, ``meta`` included.
        strategy: Its penalty is part of the step.
        roles: Of the base model.
        train: Precision, checkpointing; whether batches are accumulated.
        shape: Of the micro-batch.
        on_gpu: Where the step will run; its optimiser is another there.
        tower_gib: Of the vision tower, where ``model`` lacks it (a trial's copy does).
    """
    with torch.random.fork_rng(devices=[]), FakeTensorMode(), _fake_twin(model) as twin:
        twin.train()
        set_checkpointing(twin, on=train.gradient_checkpointing)
        parameters = [p for p in twin.parameters() if p.requires_grad]
        ledger = Ledger()
        with ledger:
            for tensor in (*twin.parameters(), *twin.buffers()):
                ledger.add(tensor)
            weights = ledger.live_bytes
            trainable = sum(p.numel() * p.element_size() for p in parameters)
            optimizer = adamw(parameters, train, on_gpu=on_gpu)
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter)
            optimizer.step()  # it keeps its state from its first step on
            gradients = trainable
            state = ledger.live_bytes - weights - gradients
            if train.batch_size == train.micro_batch_size:
                optimizer.zero_grad(set_to_none=True)
            ledger.peak_bytes, ledger.flops = ledger.live_bytes, 0
            _forward_backward(twin, strategy, roles, shape, bf16=train.precision == "bf16")
            torch.nn.utils.clip_grad_norm_(parameters, train.max_grad_norm)
            flops = ledger.flops
            optimizer.step()
            peak = ledger.peak_bytes
    return StepCost(
        weights_gib=weights / GIB + tower_gib,
        frozen_gib=(weights - trainable) / GIB + tower_gib,
        gradients_gib=gradients / GIB,
        optimizer_gib=state / GIB,
        activations_gib=max(0, peak - weights - gradients - state) / GIB,
        flops=float(flops),
    )


@contextlib.contextmanager
def _fake_twin(model: nn.Module) -> Iterator[nn.Module]:
    """A copy of which every tensor has a shape and no content."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in tree_iter(
            dict(vars(module), _modules=None)
        ):  # PEFT keeps some in plain dicts
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                trains = tensor.requires_grad
                is_parameter = isinstance(tensor, nn.Parameter)
                memo[id(tensor)] = nn.Parameter(fake, trains) if is_parameter else fake
    yield copy.deepcopy(model, memo)


def _forward_backward(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    shape: StepShape,
    *,
    bf16: bool,
) -> None:
    """The loop's own arithmetic, but images are put before the text: where they stand is data."""
    base: nn.Module = getattr(model, "get_base_model", lambda: model)()
    text = torch.zeros(shape.batch, shape.tokens - shape.image_tokens, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        embedded = base.get_submodule(roles.embedding)(text)
        if roles.connector is not None and shape.image_tokens:
            weight = next(base.get_submodule(roles.connector).parameters())
            features = torch.empty(
                shape.batch, shape.image_tokens, shape.feature_channels, dtype=weight.dtype
            )
            image = base.get_submodule(roles.connector)(features).to(embedded.dtype)
            embedded = torch.cat([image, embedded], dim=1)
        logits = model(
            inputs_embeds=embedded,
            attention_mask=torch.ones(shape.batch, shape.tokens, dtype=torch.long),
            logits_to_keep=min(shape.answer_tokens + 1, shape.tokens),
            use_cache=False,
        ).logits
    del embedded
    labels = torch.zeros(logits.shape[0] * (logits.shape[1] - 1), dtype=torch.long)
    loss = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels, reduction="sum"
    )
    del logits
    torch.autograd.backward(loss)
    penalty = strategy.penalty(model)
    if penalty is not None:
        torch.autograd.backward(penalty)
