"""Counts live bytes and FLOPs of torch's operations, on real or fake tensors."""

import copy
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from lnt_core.distributed.sharded import shape_of


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live storages, their peak, and the FLOPs of operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = 0
        self.peak_bytes = 0
        self.peaks: list[int] = []
        """Peak bytes of each part; :meth:`end_part` ends one."""
        self.flops = 0
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def restart(self) -> None:
        """Reset FLOPs and peaks; live storages remain counted."""
        self.peak_bytes, self.peaks, self.flops = self.live_bytes, [], 0

    def end_part(self) -> None:
        """Record the peak since the end of the last part."""
        self.peaks.append(self.peak_bytes)
        self.peak_bytes = self.live_bytes

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
    """FLOPs of one operation by torch's own formulas, which lack fused attention on a CPU.

    That is counted by the formula of the same operation on a GPU.
    """
    aten = torch.ops.aten
    packet = {
        aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            aten._scaled_dot_product_flash_attention_backward
        ),
    }.get(func.overloadpacket, func.overloadpacket)
    formula = flop_registry.get(packet)
    return int(formula(*args, **kwargs, out_val=result)) if formula is not None else 0


def fake_twin(model: nn.Module, *, without: Sequence[nn.Module] = ()) -> nn.Module:
    """Copy a model with fake tensors, which have no data; call it under a ``FakeTensorMode``.

    Args:
        model: The model; not changed.
        without: Modules of ``model`` that an ``nn.Identity`` replaces in the copy.
    """
    memo: dict[int, Any] = {id(module): nn.Identity() for module in without}
    left_out = {id(module) for whole in without for module in whole.modules()}
    for module in model.modules():
        if id(module) in left_out:
            continue
        own = dict(vars(module), _modules=None)  # not only parameters: PEFT has tensors in dicts
        for tensor in tree_iter(own):
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                fake = torch.empty(shape_of(tensor), dtype=tensor.dtype, device="cpu")
                trains = tensor.requires_grad
                is_parameter = isinstance(tensor, nn.Parameter)
                memo[id(tensor)] = nn.Parameter(fake, trains) if is_parameter else fake
    return copy.deepcopy(model, memo)
