"""The large parts of a model: vision tower, decoder, and what lies between them."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn


def encoder(model: Any) -> nn.Module | None:
    """The vision tower; None if the model has none."""
    return _other_than(model, getattr(model, "get_encoder", None), modality="image")


def decoder(model: Any) -> nn.Module | None:
    """The language model without its head; None if the model does not say which part it is."""
    return _other_than(model, getattr(model, "get_decoder", None))


def _other_than(model: Any, get: Any, **which: str) -> nn.Module | None:
    """What ``get`` finds: transformers returns the model itself where it finds nothing."""
    found = None if get is None else get(**which)
    is_itself = found is model or found is getattr(model, "base_model", None)
    return None if is_itself or not isinstance(found, nn.Module) else found


def in_between(
    model: nn.Module, vision: nn.Module, language: nn.Module, head: nn.Module
) -> tuple[str, ...]:
    """Names of what connects a vision tower to a language model.

    That is what the model has besides the two and its head: modules, each of them called by itself,
    and raw parameters. If there is nothing, the connector is the end of the tower: those of its
    parts after its blocks that have linear layers.
    """
    found = tuple(_besides(model, (vision, language, head), ""))
    if found:
        return found
    name = next(name for name, module in model.named_modules() if module is vision)
    blocks = {id(block) for block in outermost_blocks(vision)}
    children = [(f"{name}.{own}", child) for own, child in vision.named_children()]
    holds_blocks = [any(id(m) in blocks for m in child.modules()) for _, child in children]
    after = children[holds_blocks.index(True) + 1 :] if True in holds_blocks else []
    return tuple(
        called
        for whole, child in after
        if any(isinstance(module, nn.Linear) for module in child.modules())
        for called in _called(whole, child)
    )


def _besides(module: nn.Module, parts: Sequence[nn.Module], prefix: str) -> Iterator[str]:
    """Names of what a module has besides ``parts``, which it contains."""
    known = {id(part) for part in parts}
    yield from (f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        if id(child) in known:
            continue
        if any(id(inner) in known for inner in child.modules()):
            yield from _besides(child, parts, f"{prefix}{name}.")
        elif next(child.parameters(), None) is not None:
            yield from _called(f"{prefix}{name}", child)


def _called(name: str, module: nn.Module) -> list[str]:
    """Names of the modules that are called: those in a list, which itself is not."""
    if isinstance(module, nn.ModuleList):
        return [f"{name}.{number}" for number in range(len(module))]
    return [name]


def outermost_blocks(part: nn.Module) -> list[nn.Module]:
    """The blocks of a tower or decoder: its longest ``ModuleList`` that is in no other."""
    lists = [m for m in part.modules() if isinstance(m, nn.ModuleList)]
    nested = {id(m) for own in lists for m in own.modules() if m is not own}
    return list(max((own for own in lists if id(own) not in nested), key=len, default=[]))


def inside(name: str, part: str) -> bool:
    """Whether a parameter or module belongs to the part of this name, or is it.

    Example:
        >>> inside("model.norm.weight", "model.norm"), inside("model.norm_2.weight", "model.norm")
        (True, False)
    """
    return name == part or name.startswith(f"{part}.")
