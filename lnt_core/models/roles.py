"""Which part of a model does what: found in its architecture, never in a table of names."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from lnt_core.errors import ConfigError

ATTENTION_NAMES = {"q": ("q_proj", "query", "wq"), "v": ("v_proj", "value", "wv")}
"""What the query and value projections of an attention are called in the libraries of the field."""


@dataclass(frozen=True)
class Roles:
    """Module names by role. Together they name every parameter but position embeddings."""

    vision: str
    connector: str
    language: str
    """The language model without its output head."""
    embedding: str
    head: str
    norm: tuple[str, ...]
    """Norms of each block outside its attention, and the final one. RMSNorm counts."""
    attn_q: tuple[str, ...]
    attn_v: tuple[str, ...]
    mlp: tuple[str, ...]
    """The linear layers of each block outside its attention."""
    linear: tuple[str, ...]
    """Every linear layer of the language model's blocks."""

    @property
    def base(self) -> tuple[str, ...]:
        """What the paper trains besides: connector, word embedding, output head."""
        return (self.connector, self.embedding, self.head)


def is_norm(module: nn.Module) -> bool:
    """A layer with a scale per channel and nothing below it: LayerNorm, RMSNorm and their kin."""
    named_so = type(module).__name__.lower().endswith("norm")
    weight = getattr(module, "weight", None)
    return named_so and weight is not None and weight.dim() == 1


def find_roles(model: nn.Module) -> Roles:
    """Discover the roles of a LLaVA-like model: vision tower, connector, causal language model.

    Args:
        model: ``LlavaForConditionalGeneration``, or any model with the same three parts.

    Raises:
        ConfigError: A part is missing; names each, and what was looked for.
    """
    names = {id(module): name for name, module in model.named_modules()}
    inner = getattr(model, "model", model)
    vision = getattr(inner, "vision_tower", None)
    connector = getattr(inner, "multi_modal_projector", None)
    language = getattr(inner, "language_model", None)
    head = getattr(model, "lm_head", None)
    missing = [
        what
        for what, part in {
            "a vision tower (`vision_tower`)": vision,
            "a connector (`multi_modal_projector`)": connector,
            "a language model (`language_model`)": language,
            "an output head (`lm_head`)": head,
        }.items()
        if part is None
    ]
    if missing:
        raise _unknown(model, missing)
    assert isinstance(language, nn.Module)
    blocks = _blocks(language)
    attentions = [_attention(block) for block in blocks]
    if not blocks or None in attentions:
        raise _unknown(model, _looked_for_in_blocks())
    return Roles(
        vision=names[id(vision)],
        connector=names[id(connector)],
        language=names[id(language)],
        embedding=names[id(language.get_input_embeddings())],  # type: ignore[operator]
        head=names[id(head)],
        norm=_named(names, _norms(language, blocks, attentions)),
        attn_q=_named(names, (_projection(a, "q") for a in attentions)),
        attn_v=_named(names, (_projection(a, "v") for a in attentions)),
        mlp=_named(names, _mlp_linears(blocks, attentions)),
        linear=_named(names, (m for b in blocks for m in b.modules() if isinstance(m, nn.Linear))),
    )


def _named(names: dict[int, str], modules: Iterable[nn.Module | None]) -> tuple[str, ...]:
    return tuple(names[id(module)] for module in modules if module is not None)


def _blocks(language: nn.Module) -> list[nn.Module]:
    """The longest list of equal layers: the decoder's blocks."""
    lists = [list(m) for m in language.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=[])


def _attention(block: nn.Module) -> nn.Module | None:
    """The module of a block that owns both a query and a value projection."""
    found = (m for m in block.modules() if _projection(m, "q") and _projection(m, "v"))
    return next(found, None)


def _projection(attention: nn.Module | None, which: str) -> nn.Module | None:
    candidates = (getattr(attention, name, None) for name in ATTENTION_NAMES[which])
    return next((c for c in candidates if isinstance(c, nn.Linear)), None)


def _norms(
    language: nn.Module, blocks: list[nn.Module], attentions: list[nn.Module | None]
) -> list[nn.Module]:
    in_attention = {id(m) for a in attentions if a is not None for m in a.modules()}
    in_blocks = {id(m) for block in blocks for m in block.modules()}
    norms = [m for m in language.modules() if is_norm(m) and id(m) not in in_attention]
    return sorted(norms, key=lambda m: id(m) not in in_blocks)  # the final norm last


def _mlp_linears(blocks: list[nn.Module], attentions: list[nn.Module | None]) -> list[nn.Module]:
    in_attention = {id(m) for a in attentions if a is not None for m in a.modules()}
    return [
        module
        for block in blocks
        for module in block.modules()
        if isinstance(module, nn.Linear) and id(module) not in in_attention
    ]


def _looked_for_in_blocks() -> list[str]:
    q, v = (" or ".join(f"`{name}`" for name in ATTENTION_NAMES[which]) for which in "qv")
    return ["a list of equal blocks", f"in each block an attention with linear {q}, and {v}"]


def _unknown(model: nn.Module, missing: list[str]) -> ConfigError:
    children = ", ".join(name for name, _ in model.named_modules() if name and name.count(".") < 2)
    return ConfigError(
        f"{type(model).__name__} is not an architecture that lnt can tune. Not found:\n"
        + "\n".join(f"  {what}" for what in missing)
        + f"\nIts parts are: {children}"
    )
