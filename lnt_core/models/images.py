"""What a model is given of images, once its frozen tower has done its work."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.devices.memory import pinned


@dataclass(frozen=True)
class ImageInputs:
    """The images of one conversation."""

    features: tuple[Tensor, ...]
    """What enters each module of the connector; images, tiles or patches along the first
    dimension."""
    shape: tuple[int, ...] = ()
    """Shape of the pixels that they were computed from, if the model's forward depends on it."""
    keys: dict[str, Tensor] = field(default_factory=dict)
    """What the processor says of the images besides their pixels: sizes, grids, masks."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(tensor.nbytes for tensor in (*self.features, *self.keys.values()))

    def to(self, device: torch.device) -> "ImageInputs":
        """The same with all tensors on ``device``."""
        return ImageInputs(
            tuple(tensor.to(device, non_blocking=True) for tensor in self.features),
            self.shape,
            {key: tensor.to(device, non_blocking=True) for key, tensor in self.keys.items()},
        )

    def pinned_for(self, device: torch.device) -> "ImageInputs":
        """The same in host memory from which a copy to ``device`` overlaps with its work."""
        return ImageInputs(
            tuple(pinned(tensor, device) for tensor in self.features),
            self.shape,
            {key: pinned(tensor, device) for key, tensor in self.keys.items()},
        )

    def copy_on_host(self) -> "ImageInputs":
        """A copy in host memory that shares nothing with others of its batch."""
        return ImageInputs(
            tuple(tensor.cpu().clone() for tensor in self.features),
            self.shape,
            {key: tensor.cpu().clone() for key, tensor in self.keys.items()},
        )


@dataclass(frozen=True)
class Recorded:
    """In place of ``pixel_values``: features that were recorded at the connector's inputs."""

    features: tuple[Tensor, ...]
    """For each module of the connector, the features of all conversations of a batch."""
    shapes: tuple[tuple[int, ...], ...]
    """Shape of the pixels of each conversation."""

    @classmethod
    def joined(cls, parts: Sequence[ImageInputs]) -> "Recorded":
        """The images of a batch."""
        features = zip(*(part.features for part in parts), strict=True)
        return cls(tuple(map(torch.cat, features)), tuple(part.shape for part in parts))

    def size(self, dim: int) -> int:
        """Size of the pixels in a dimension, for LLaVA-NeXT, which asks whether there are any."""
        assert dim == 0
        return sum(shape[0] for shape in self.shapes)

    def pixels(self, like: Tensor) -> Tensor:
        """Stands for pixels of which only the shape counts: ones, and zeros for padded tiles."""
        return join_padded([like.new_ones(()).expand(shape) for shape in self.shapes])


class Replay:
    """Lets a copy of a model, which is changed in place, take :class:`Recorded` instead of pixels.

    The blocks of its vision tower do nothing, and what enters the connector is what was recorded.

    Args:
        inner: The module whose ``get_image_features`` runs tower and connector.
        tower: The vision tower, of which no weight is trained.
        connector: The connector's modules, in the order of the record.
    """

    def __init__(self, inner: Any, tower: nn.Module, connector: Sequence[nn.Module]) -> None:
        self._features: tuple[Tensor, ...] | None = None
        own = {id(part) for module in connector for part in module.modules()}
        for blocks in [m for m in tower.modules() if isinstance(m, nn.ModuleList)]:
            if id(blocks) not in own and not any(id(block) in own for block in blocks):
                for block in blocks:  # not replaced: transformers tells hidden states by class
                    block.forward = _unchanged
        self._like = next(tower.parameters())
        inner.get_image_features = self._taking(inner.get_image_features)
        for number, module in enumerate(connector):
            module.register_forward_pre_hook(_Input(self, number), with_kwargs=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Replay":
        return self  # a trained copy of the connector, as PEFT makes, reads the same record

    def feature(self, number: int) -> Tensor:
        """What enters the connector's module of this number."""
        assert self._features is not None
        return self._features[number]

    def _taking(self, run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def take(pixel_values: Recorded, *args: Any, **kwargs: Any) -> Any:
            self._features = pixel_values.features
            try:
                return run(pixel_values.pixels(self._like), *args, **kwargs)
            finally:
                self._features = None

        return take


@dataclass(frozen=True)
class _Input:
    """Forward pre-hook of one module of the connector."""

    replay: Replay
    number: int

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        feature = self.replay.feature(self.number)
        if args:
            return (feature, *args[1:]), kwargs
        name = next(key for key, value in kwargs.items() if isinstance(value, Tensor))
        return args, {**kwargs, name: feature}


def _unchanged(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    """In place of a block of the tower, whose result is replaced at the connector."""
    return hidden_states


class Recorder:
    """Records what enters the connector's modules during a forward pass, as a context.

    Args:
        connector: The modules.
    """

    def __init__(self, connector: Sequence[nn.Module]) -> None:
        self._connector = connector
        self._found: dict[int, Tensor] = {}

    def __enter__(self) -> "Recorder":
        self._hooks = [
            module.register_forward_pre_hook(self._hook(number), with_kwargs=True)
            for number, module in enumerate(self._connector)
        ]
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def features(self) -> tuple[Tensor, ...]:
        """The first tensor that entered each module."""
        return tuple(self._found[number] for number in range(len(self._connector)))

    def _hook(self, number: int) -> Any:
        def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = (*args, *kwargs.values())
            self._found[number] = next(v for v in given if isinstance(v, Tensor)).detach()

        return keep


def join_padded(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along the first dimension; other dimensions are padded with zeros at their end.

    Example:
        >>> join_padded([torch.ones(1, 2), torch.ones(1, 3)]).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    """
    sizes = [max(size) for size in zip(*(t.shape[1:] for t in tensors), strict=True)]
    return torch.cat([_padded(tensor, sizes) for tensor in tensors])


def _padded(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    missing = [size - have for size, have in zip(sizes, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    widths = [width for amount in reversed(missing) for width in (0, amount)]
    return nn.functional.pad(tensor, widths)
