"""Prompt tuning: a soft prompt before the input."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from lnt_core.strategies.base import MAX_VIRTUAL_TOKENS, Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import check_takes_prompts, wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class PromptConfig(StrategyConfig):
    """Options of prompt tuning. Its papers use rates near 0.3, far above the default grid."""

    name: Literal["prompt"] = "prompt"
    num_tokens: int = Field(default=20, ge=1, le=MAX_VIRTUAL_TOKENS)
    """Number of virtual tokens before the input."""
    init: Literal["random", "vocabulary"] = "random"
    """Initial values: random, or the embeddings of tokens drawn at random (`vocabulary`)."""


@register("prompt")
class Prompt(Strategy[PromptConfig]):
    """Train the embeddings of virtual tokens."""

    Config: ClassVar[type[StrategyConfig]] = PromptConfig
    label: ClassVar[str] = "Prompt tuning"
    source: ClassVar[str] = "Lester et al., Prompt Tuning, arXiv:2104.08691"
    merges: ClassVar[bool] = False
    starts_at_base: ClassVar[bool] = False

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: PromptConfig) -> "nn.Module":
        from peft import PromptTuningConfig, PromptTuningInit, TaskType

        check_takes_prompts(model, roles, options.name)
        start = {"random": PromptTuningInit.RANDOM, "vocabulary": PromptTuningInit.SAMPLE_VOCAB}
        config = PromptTuningConfig(
            task_type=TaskType.CAUSAL_LM,
            num_virtual_tokens=options.num_tokens,
            prompt_tuning_init=start[options.init],
        )
        return wrap(model, config, roles)
