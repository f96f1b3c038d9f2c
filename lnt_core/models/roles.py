"""Roles of a model's parts, found from its architecture instead of a table of model names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from lnt_core.errors import ConfigError
from lnt_core.models.parts import decoder, encoder, in_between, inside, outermost_blocks

ATTENTION_NAMES = {"q": ("q_proj", "query", "wq"), "v": ("v_proj", "value", "wv")}
"""Names of the query and value projections in the common libraries."""


def _any_of(which: str) -> str:
    return " or ".join(f"`{name}`" for name in ATTENTION_NAMES[which])


LOOKED_FOR = {
    "vision": "a vision tower, which a pure language model lacks",
    "connector": "a connector of tower and language model, which a pure language model lacks",
    "norm": "norms outside the attention (LayerNorm, RMSNorm and the like)",
    "attention_norm": "norms of queries and keys in the attention of each block",
    "attn_q": f"in each block an attention with a linear {_any_of('q')} (not fused)",
    "attn_v": f"in each block an attention with a linear {_any_of('v')} (not fused)",
    "attn": "linear layers in the attention of each block",
    "mlp": "linear layers of each block outside its attention",
    "linear": "linear layers (`nn.Linear`) in the blocks",
    "attention": "in each block an attention with linear q and v projections of its own",
    "feedforward": "in each block one module that contains its MLP",
}
"""What :func:`find_roles` looks for, by role."""


@dataclass(frozen=True)
class Roles:
    """Names of modules by role. Together they cover every parameter except position embeddings.

    A tuple is empty if the architecture has no such part, or fuses it with another, as GPT-2 does
    with q, k and v. :meth:`require` raises an error if a strategy needs a part that is missing.
    """

    vision: str | None
    """The vision tower; what it contains of ``connector`` is the connector's. None in a pure
    language model."""
    connector: tuple[str, ...]
    """What lies between vision tower and language model: modules, each of which is called by
    itself, and raw parameters, as `image_newline`. Empty in a pure language model."""
    language: str
    """The language model without its output head."""
    embedding: str
    head: str
    norm: tuple[str, ...]
    """Norms (LayerNorm, RMSNorm, ...) of each block outside its attention, and the final norm."""
    attention_norm: tuple[str, ...]
    """Norms inside the attention of each block, of queries and keys."""
    attn_q: tuple[str, ...]
    attn_v: tuple[str, ...]
    mlp: tuple[str, ...]
    """The linear layers of each block outside its attention."""
    linear: tuple[str, ...]
    """Every linear layer of the language model's blocks."""
    blocks: tuple[str, ...]
    """The decoder's blocks, in order."""
    attention: tuple[str, ...]
    """The attention module of each block."""
    feedforward: tuple[str, ...]
    """The module of each block that contains its MLP."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Parts that most strategies of the paper train as well: connector, embedding, head."""
        return (*self.connector, self.embedding, self.head)

    @property
    def attn(self) -> tuple[str, ...]:
        """The linear layers inside the attention of each block."""
        return tuple(name for name in self.linear if name not in self.mlp) if self.mlp else ()

    def require(self, *roles: str) -> tuple[str, ...]:
        """Names of the modules with these roles, in order.

        Raises:
            ConfigError: The model lacks one of them; the message says what was looked for.
        """
        missing = [role for role in roles if not getattr(self, role)]
        if missing:
            looked_for = "; ".join(f"`{role}`: {LOOKED_FOR[role]}" for role in missing)
            raise ConfigError(
                f"this model lacks a part that the strategy needs. Looked for {looked_for}"
            )
        found = [getattr(self, role) for role in roles]
        return tuple(
            name for part in found for name in ((part,) if isinstance(part, str) else part)
        )


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with one scale per channel: LayerNorm, RMSNorm and the like."""
    has_name = type(module).__name__.lower().endswith("norm")
    weight = getattr(module, "weight", None)
    return has_name and weight is not None and weight.dim() == 1


def find_roles(model: nn.Module) -> Roles:
    """Find the roles of the parts of a vision-language model or of a causal language model.

    Args:
        model: One that feeds a vision tower's output, through a connector, to a language model, as
            ``AutoModelForImageTextToText`` gives it; or any ``AutoModelForCausalLM``.

    Raises:
        ConfigError: Parts are missing; the message lists each of them.
    """
    names = {id(module): name for name, module in model.named_modules()}
    vision = encoder(model)
    config = getattr(model, "config", None)
    is_language_alone = vision is None and getattr(config, "vision_config", None) is None
    head = (
        getattr(model, "lm_head", None) or getattr(model, "get_output_embeddings", lambda: None)()
    )
    language = getattr(model, "base_model", None) if is_language_alone else decoder(model)
    missing = {
        "a vision tower": vision is None and not (is_language_alone and head is not None),
        "a language model": language is None,
        "an output head": head is None,
    }
    if any(missing.values()):
        raise _unknown(model, [what for what, lacks in missing.items() if lacks])
    assert isinstance(language, nn.Module)
    assert head is not None
    connector = () if vision is None else in_between(model, vision, language, head)
    if vision is not None and not connector:
        raise _unknown(model, ["a connector of vision tower and language model"])
    blocks = outermost_blocks(language)
    if not blocks:
        raise _unknown(model, ["a list of equal blocks"])
    attentions = [attention_of(block) for block in blocks]
    in_attention = {id(m) for a in attentions if a is not None for m in a.modules()}
    known = None not in attentions
    attention_norms = (m for a in attentions if a is not None for m in a.modules() if is_norm(m))
    return Roles(
        vision=None if vision is None else names[id(vision)],
        connector=connector,
        language=names[id(language)],
        embedding=names[id(language.get_input_embeddings())],  # type: ignore[operator]
        head=names[id(head)],
        norm=_named(names, _norms(language, blocks, in_attention)),
        attention_norm=_named(names, attention_norms) if known else (),
        attn_q=_named(names, (_projection(a, "q") for a in attentions)) if known else (),
        attn_v=_named(names, (_projection(a, "v") for a in attentions)) if known else (),
        mlp=_named(names, _mlp_linears(blocks, in_attention)) if known else (),
        linear=_named(names, (m for b in blocks for m in b.modules() if isinstance(m, nn.Linear))),
        blocks=_named(names, blocks),
        attention=_named(names, attentions) if known else (),
        feedforward=_feedforward(names, blocks, in_attention) if known else (),
    )


def parameters_of(model: nn.Module, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters of parts, which are modules or raw parameters, by their names in ``model``."""
    return {
        name: parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if any(inside(name, part) for part in parts)
    }


def _named(names: dict[int, str], modules: Iterable[nn.Module | None]) -> tuple[str, ...]:
    return tuple(names[id(module)] for module in modules if module is not None)


def attention_of(block: nn.Module) -> nn.Module | None:
    """The module of a block that has both a query and a value projection."""
    found = (m for m in block.modules() if _projection(m, "q") and _projection(m, "v"))
    return next(found, None)


def _projection(attention: nn.Module | None, which: str) -> nn.Module | None:
    candidates = (getattr(attention, name, None) for name in ATTENTION_NAMES[which])
    return next((c for c in candidates if isinstance(c, nn.Linear)), None)


def _norms(language: nn.Module, blocks: list[nn.Module], in_attention: set[int]) -> list[nn.Module]:
    in_blocks = {id(m) for block in blocks for m in block.modules()}
    norms = [m for m in language.modules() if is_norm(m) and id(m) not in in_attention]
    return sorted(norms, key=lambda m: id(m) not in in_blocks)  # the final norm last


def _mlp_linears(blocks: list[nn.Module], in_attention: set[int]) -> list[nn.Module]:
    return [
        module
        for block in blocks
        for module in block.modules()
        if isinstance(module, nn.Linear) and id(module) not in in_attention
    ]


def _feedforward(
    names: dict[int, str], blocks: list[nn.Module], in_attention: set[int]
) -> tuple[str, ...]:
    """The child of each block that contains its whole MLP; empty if a block has none."""
    found = []
    for block in blocks:
        linears = {id(m) for m in _mlp_linears([block], in_attention)}
        holders = [c for c in block.children() if linears <= {id(m) for m in c.modules()}]
        if not linears or not holders or isinstance(holders[0], nn.Linear):
            return ()
        found.append(names[id(holders[0])])
    return tuple(found)


def _unknown(model: nn.Module, missing: list[str]) -> ConfigError:
    children = ", ".join(name for name, _ in model.named_modules() if name and name.count(".") < 2)
    return ConfigError(
        f"{type(model).__name__} is not an architecture that lnt can tune. Not found:\n"
        + "\n".join(f"  {what}" for what in missing)
        + f"\nIts parts are: {children}"
    )
