"""Writes a tuned model as a plain transformers checkpoint, which loads without this package."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lnt_core.data.conversation import SYSTEM_BLOCK, VICUNA_SYSTEM
from lnt_core.data.processed import ProcessedConversations
from lnt_core.data.samples import IMAGE
from lnt_core.errors import ConfigError
from lnt_core.files import write_text
from lnt_core.models.processors import copy_processor
from lnt_core.models.tokens import greedy
from lnt_core.models.vlm import VisionLanguageModel

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

MERGED = "merged"
"""Folder of the checkpoint within an export."""
_TURNS = """{%- for message in messages -%}
{%- set parts = message['content'] -%}
{%- if parts is string -%}{%- set parts = [{'type': 'text', 'text': parts}] -%}{%- endif -%}
{%- if message['role'] == 'user' -%}
{{- '@FIRST' if loop.first else '@LATER' -}}
{%- for part in parts if part['type'] == 'image' -%}{{- '@IMAGE\\n' -}}{%- endfor -%}
{%- for part in parts if part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}
{{- '@AFTER_QUESTION' -}}
{%- elif message['role'] == 'assistant' -%}
{{- '@BEFORE_ANSWER' -}}
{%- for part in parts if part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}
{{- '@AFTER_ANSWER@END' -}}
{%- else -%}{{- raise_exception("roles are 'user' and 'assistant'") -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '@GENERATE' -}}{%- endif -%}"""
_AS_TEXT = (
    "{%- set said = namespace(messages=[]) %}"
    "{%- for message in messages %}"
    "{%- set said.content = message['content'] if message['content'] is string else '' %}"
    "{%- for part in message['content'] if message['content'] is not string %}"
    "{%- set said.content = said.content + "
    "('@IMAGE\n' if part['type'] == 'image' else part['text']) %}"
    "{%- endfor %}"
    "{%- set said.messages = said.messages"
    " + [{'role': message['role'], 'content': said.content}] %}"
    "{%- endfor %}"
    "{%- set messages = said.messages %}"
).replace("@IMAGE", IMAGE)
"""Before a language model's own template: makes text of contents that are parts."""
_STYLES = {
    "plain": ("", "", "\n", "", "", ""),
    "vicuna_v1": (f"{VICUNA_SYSTEM} USER: ", "USER: ", "", " ASSISTANT: ", "", " ASSISTANT:"),
    "llava_llama_2": (f"[INST] {SYSTEM_BLOCK}", "@BEGIN[INST] ", " [/INST]", " ", " ", ""),
}
"""Text around questions and answers, by style and in the order of `_PLACES`; the same as in
``Conversations._segments``."""
_PLACES = ("FIRST", "LATER", "AFTER_QUESTION", "BEFORE_ANSWER", "AFTER_ANSWER", "GENERATE")


def save_plain(
    base: VisionLanguageModel, model: "PreTrainedModel", folder: Path, *, max_new_tokens: int
) -> None:
    """Write model and processor for ``AutoModelForImageTextToText`` and ``AutoProcessor``.

    Weights are written in float32: in bfloat16, norms that were tuned at a small rate would be
    rounded back to their initial values.

    Args:
        base: The base of ``model``, with tokenizer, image processor and style of conversation.
        model: The merged model, including the vision tower.
        folder: Folder to write to.
        max_new_tokens: Default of ``generate()``.

    Raises:
        ConfigError: The model does not fit the LLaVA architecture of transformers.
    """
    plain = model if base.processor is not None else _as_llava(base, model)
    plain.to(torch.float32)
    plain.config.dtype = torch.float32
    plain.generation_config = _generation(base, max_new_tokens)
    plain.save_pretrained(folder)
    if not isinstance(base.conversations, ProcessedConversations):
        processor(base).save_pretrained(folder)
        return
    copy_processor(base.processor.tokenizer.name_or_path, folder)
    if base.conversations.style != "chat_template":
        write_text(folder / "chat_template.jinja", chat_template(base))


def processor(base: VisionLanguageModel) -> Any:
    """A transformers processor that makes the same prompts as the model's conversations."""
    conversations = base.conversations
    if base.processor is not None:
        own = copy.deepcopy(base.processor)
        if conversations.style != "chat_template":
            own.chat_template = chat_template(base)
        return own
    from transformers import LlavaProcessor

    tower: Any = base.tower
    tokenizer = copy.deepcopy(conversations.tokenizer)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]  # LLaVA takes no token_type_ids
    return LlavaProcessor(
        image_processor=base.image_processor,
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=_select_strategy(base),
        num_additional_image_tokens=base.num_dropped,
        image_token=conversations.image_token,
        chat_template=chat_template(base),
    )


def chat_template(base: VisionLanguageModel) -> str:
    """A Jinja chat template that renders turns as :class:`Conversations` does."""
    conversations = base.conversations
    if conversations.style == "chat_template":
        own = base.processor or conversations.tokenizer
        return (_AS_TEXT if base.processor is None else "") + str(own.chat_template)
    text = _TURNS
    marks = dict(zip(_PLACES, _STYLES[conversations.style], strict=True)) | {
        "IMAGE": conversations.image_token,
        "END": conversations.end,
        "BEGIN": str(conversations.tokenizer.bos_token),
    }
    for mark, value in marks.items():
        text = text.replace(f"@{mark}", value.replace("'", "\\'").replace("\n", "\\n"))
    return text


def _as_llava(base: VisionLanguageModel, model: "PreTrainedModel") -> "PreTrainedModel":
    """Move the parts into transformers' own LLaVA, whose connector always has two layers."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    if base.num_dropped > 1:
        raise ConfigError(
            "this model cannot be merged into a plain LLaVA, which drops one token before those of "
            f"an image's patches: its vision tower, {type(base.tower).__name__}, has "
            f"{base.num_dropped} (class and registers)"
        )
    own, connector = model.config, model.model.multi_modal_projector
    text = copy.deepcopy(model.model.language_model.config)
    text.tie_word_embeddings = False
    text.vocab_size = max(text.vocab_size, own.image_token_id + 1)
    layers = base.feature_layers
    config = LlavaConfig(
        vision_config=base.tower.config,
        text_config=text,
        vision_feature_layer=layers[0] if len(layers) == 1 else list(layers),
        vision_feature_select_strategy=_select_strategy(base),
        image_token_index=own.image_token_id,
        image_seq_length=base.conversations.num_image_tokens,
        projector_hidden_act="linear" if isinstance(connector, nn.Linear) else "gelu",
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        plain = LlavaForConditionalGeneration(config)
    expected = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    if isinstance(connector, nn.Linear):
        connector = _two_layers(connector, plain.model.multi_modal_projector)
    plain.model.vision_tower = model.model.vision_tower
    plain.model.multi_modal_projector = connector
    plain.model.language_model = language = model.model.language_model
    plain.lm_head = _with_rows(model.lm_head, text.vocab_size)  # tied weights are written twice
    language.set_input_embeddings(_with_rows(language.get_input_embeddings(), text.vocab_size))
    found = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    if found != expected:
        other = sorted(found.items() ^ expected.items(), key=str)[:2]
        raise ConfigError(
            f"this model cannot be merged into a plain LLaVA of {text.model_type}: its tensors "
            f"differ in name or shape from those of transformers' own LLaVA ({other} ...)"
        )
    return plain


def _with_rows(module: Any, rows: int) -> nn.Module:
    """A copy of an embedding or a head with this many rows: zeros for tokens that had none."""
    longer: Any = copy.deepcopy(module)
    for name, parameter in module.named_parameters(recurse=False):
        zeros = parameter.new_zeros(rows - len(parameter), *parameter.shape[1:])
        longer.register_parameter(name, nn.Parameter(torch.cat([parameter.detach(), zeros])))
    setattr(longer, "num_embeddings" if isinstance(module, nn.Embedding) else "out_features", rows)
    whole: nn.Module = longer
    return whole


def _two_layers(connector: nn.Linear, projector: Any) -> nn.Module:
    """The linear layer followed by an identity layer, with no activation in between."""
    projector = projector.to_empty(device=connector.weight.device)
    projector.linear_1.load_state_dict(connector.state_dict())
    with torch.no_grad():
        nn.init.eye_(projector.linear_2.weight)
        nn.init.zeros_(projector.linear_2.bias)
    projector.act = nn.Identity()
    two: nn.Module = projector
    return two


def _select_strategy(base: VisionLanguageModel) -> str:
    return "default" if base.num_dropped else "full"


def _generation(base: VisionLanguageModel, max_new_tokens: int) -> "GenerationConfig":
    """Greedy decoding, as in scoring."""
    generation = greedy(base.conversations, base.model.generation_config)
    generation.max_new_tokens = max_new_tokens
    return generation
