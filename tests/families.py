"""Language models as they are published, with tiny random weights, made on the spot.

What is real: kinds of tokenizer and its special tokens, rows of the embedding, chat templates and
generation settings, as in the ``tokenizer_config.json``, ``config.json`` and
``generation_config.json`` on the Hugging Face Hub (lmsys/vicuna-7b-v1.5,
meta-llama/Llama-2-7b-chat-hf, meta-llama/Meta-Llama-3-8B-Instruct,
mistralai/Mistral-7B-Instruct-v0.2, Qwen/Qwen2.5-0.5B-Instruct, HuggingFaceTB/SmolLM2-135M and
-Instruct, facebook/opt-125m).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SENTENCES = [
    "A large red circle is beside a small blue star on sand.",
    "Provide a one-sentence caption for the provided image. What is there? Where? On the left.",
    "USER: ASSISTANT: [INST] [/INST] system You are a helpful assistant.",
] * 20
LLAMA_2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ message['content'] + eos_token}}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """How one family is published."""

    kind: str
    """transformers' ``model_type``."""
    tokenizer: Callable[[Path], Any]
    """Makes the tokenizer without its special tokens, in a folder."""
    style: str
    """The style of conversation that is tested."""
    special: dict[str, Any]
    """The special tokens of ``tokenizer_config.json``."""
    more: tuple[str, ...] = ()
    """Further special tokens in the vocabulary."""
    spare_rows: int = 0
    """Rows of the embedding without a token."""
    template: str | None = None
    ends: tuple[str, ...] = ()
    """``eos_token_id`` of ``generation_config.json``, if that is a list."""
    generation: dict[str, Any] = field(default_factory=dict)
    model_file_alone: bool = False
    """Whether it is published with ``tokenizer.model`` but no ``tokenizer.json``."""


def sentencepiece(folder: Path) -> Any:
    """LLaMA's kind: ``tokenizer.model`` with byte fallback."""
    import sentencepiece
    from transformers import AutoTokenizer

    text = folder / "sentences.txt"
    text.write_text("\n".join(SENTENCES))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=340,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": False,
    }
    config |= {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return AutoTokenizer.from_pretrained(folder)


def byte_level(_: Path) -> Any:
    """GPT-2's kind: bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


SPM = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
GPT_TOKEN = "<|endoftext|>"
IM = ("<|im_start|>", "<|im_end|>")
HEADERS = ("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
FAMILIES = {
    "vicuna": Family(
        "llama",
        sentencepiece,
        "vicuna_v1",
        SPM | {"pad_token": "<unk>"},
        generation={"do_sample": True, "temperature": 0.9, "top_p": 0.6},
        model_file_alone=True,
    ),
    "llama2": Family("llama", sentencepiece, "llava_llama_2", SPM, template=LLAMA_2),
    "llama2_own": Family("llama", sentencepiece, "chat_template", SPM, template=LLAMA_2),
    "llama3": Family(
        "llama",
        byte_level,
        "chat_template",
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        HEADERS,
        template=LLAMA_3,
        ends=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "mistral": Family("mistral", sentencepiece, "chat_template", SPM, template=MISTRAL),
    "qwen2": Family(
        "qwen2",
        byte_level,
        "chat_template",
        {"eos_token": IM[1], "pad_token": GPT_TOKEN},
        (*IM, "<|vision_pad|>", "<|image_pad|>"),
        spare_rows=7,
        template=CHATML,
        ends=(IM[1], GPT_TOKEN),
        generation={"repetition_penalty": 1.1, "top_k": 20, "do_sample": True},
    ),
    "smollm2": Family(
        "llama",
        byte_level,
        "chat_template",
        {"bos_token": IM[0], "eos_token": IM[1], "unk_token": GPT_TOKEN, "pad_token": IM[1]},
        ("<repo_name>",),
        template=CHATML,
    ),
    "smollm2_base": Family(
        "llama",
        byte_level,
        "vicuna_v1",
        dict.fromkeys(("bos_token", "eos_token", "unk_token"), GPT_TOKEN),
    ),
    "opt": Family(
        "opt",
        byte_level,
        "plain",
        dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>") | {"pad_token": "<pad>"},
        spare_rows=7,
    ),
}


def save_language_model(name: str, folder: Path) -> str:
    """Save a tiny random language model of a family; returns its folder."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    from tests.parts import text_config

    family = FAMILIES[name]
    folder.mkdir(parents=True)
    tokenizer = family.tokenizer(folder)
    tokenizer.add_special_tokens({**family.special, "additional_special_tokens": [*family.more]})
    tokenizer.chat_template = family.template
    ids = {f"{kind}_id": tokenizer.convert_tokens_to_ids(t) for kind, t in family.special.items()}
    ids.pop("unk_token_id", None)
    config = text_config(family.kind, vocab_size=len(tokenizer) + family.spare_rows, **ids)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    ends = [tokenizer.convert_tokens_to_ids(end) for end in family.ends]
    model.generation_config = GenerationConfig(
        **family.generation, eos_token_id=ends or tokenizer.eos_token_id
    )
    model.save_pretrained(folder)
    if not family.model_file_alone:
        tokenizer.save_pretrained(folder)
        (folder / "tokenizer.model").unlink(missing_ok=True)
    else:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | family.special))
    return str(folder)
