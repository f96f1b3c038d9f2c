"""What every strategy promises of every family of vision-language checkpoints."""

import copy
import dataclasses
import json

import pytest
import torch
from pydantic import TypeAdapter

from lnt_core.accounting.parameters import ADDED, count_by_role, count_parameters
from lnt_core.config import ModelConfig
from lnt_core.errors import ConfigError
from lnt_core.models.build import load_base
from lnt_core.models.roles import parameters_of
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, get_strategy
from lnt_core.strategies.base import in_base
from lnt_core.strategies.merge import merge
from lnt_core.strategies.weights import load_weights, save_weights
from tests.vlm_checkpoints import PICTURES, save
from tests.vlm_families import FAMILIES

pytestmark = pytest.mark.wide

OPTIONS = {name: {"name": name} for name in STRATEGIES} | {
    "lora": {"name": "lora", "rank": 4},
    "adalora": {"name": "adalora", "train_base": True},
    "adapter_serial": {"name": "adapter_serial", "train_base": True},
    "prefix": {"name": "prefix", "hidden_size": 16},
}
SHARED = ("connector", "embedding", "head")
PARTS = {
    "full": ("language", *SHARED),
    "lora": SHARED,
    "attn_qv": ("attn_q", "attn_v", *SHARED),
    "attn_mlp": ("mlp", *SHARED),
    "layernorm": ("norm", *SHARED),
    "layernorm_simple": ("norm",),
    "connector": ("connector",),
    "adalora": SHARED,
    "adapter_serial": SHARED,
}
"""The roles that a strategy trains, besides what it adds."""
TOKEN_TYPES = {
    "qwen2_5_vl": "mm_token_type_ids",
    "qwen3_vl": "mm_token_type_ids",
    "gemma3": "token_type_ids",
    "paligemma2": "token_type_ids",
}


@dataclasses.dataclass(frozen=True)
class Published:
    """A family's checkpoint, loaded, with a batch of two images of different sizes."""

    name: str
    folder: str
    base: object
    plain: object
    """The checkpoint as plain transformers loads it."""
    pixels: dict
    """What the published processor returns."""
    features: dict
    """The same for a trial's copy."""
    logits: torch.Tensor
    """Those of plain transformers."""


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    from transformers import AutoModelForImageTextToText

    folder = save(request.param, tmp_path_factory.mktemp("families") / request.param)
    base = load_base(ModelConfig(checkpoint=folder), cache=tmp_path_factory.mktemp("cache"))
    processor = base.processor
    asked = ["What is there?", "Where?"]
    if processor.chat_template:
        text = [
            processor.apply_chat_template(
                [
                    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": q}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "A red circle."}]},
                ]
            )
            for q in asked
        ]
    else:
        text = [f"{processor.image_token}{q}" for q in asked]
    pixels = processor(
        text=text,
        images=[[image] for image in PICTURES],
        return_tensors="pt",
        padding=True,
        padding_side="right",
    )
    pixels.pop("labels", None)  # PaliGemma's, with nothing to learn
    of_images = base.joined(base.image_inputs([[image] for image in PICTURES]))
    with torch.no_grad():
        logits = base.model(**pixels).logits
    plain = AutoModelForImageTextToText.from_pretrained(folder).eval()
    features = {**pixels, **of_images}
    return Published(request.param, folder, base, plain, dict(pixels), features, logits)


def options_of(strategy: str):
    return TypeAdapter(AnyStrategyConfig).validate_python(OPTIONS[strategy])


def applied(family: Published, strategy: str):
    torch.manual_seed(0)
    method = get_strategy(strategy)
    model = method.apply(family.base.trial_copy(), family.base.roles, options_of(strategy))
    own_trainable(model)
    return model, method


def step(model, method, inputs) -> None:
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], 1e-2, weight_decay=0
    )
    loss = model(**inputs, labels=inputs["input_ids"]).loss
    penalty = method.penalty(model)
    (loss if penalty is None else loss + penalty).backward()
    optimizer.step()


def refused(family: Published, strategy: str) -> bool:
    return strategy in ("prefix", "prompt") and family.name in TOKEN_TYPES


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_keeps_its_promises(family, strategy, tmp_path) -> None:
    base = family.base
    if refused(family, strategy):
        with pytest.raises(ConfigError, match=f"by `{TOKEN_TYPES[family.name]}`: PEFT passes none"):
            applied(family, strategy)
        return
    model, method = applied(family, strategy)
    trains_what_it_declares(family, strategy, model)
    with torch.no_grad():
        logits = model.eval()(**family.features).logits[:, -family.logits.shape[1] :]
    assert torch.equal(logits, family.logits) == method.starts_at_base

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    of_base = {name: p.detach().clone() for name, p in base.model.named_parameters()}
    for _ in range(2):  # LoRA's A moves once its B has
        step(model.train(), method, family.features)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        logits = model.eval()(**family.features).logits
    save_weights(model, tmp_path, strategy=options_of(strategy), base_name=family.folder)

    with torch.no_grad():
        loaded = load_weights(base.trial_copy(), tmp_path).eval()
        assert torch.equal(loaded(**family.features).logits, logits)
        assert torch.allclose(
            published(family, tmp_path)(**family.pixels).logits, logits, atol=1e-5
        )
        if method.merges:
            own = dataclasses.replace(base, model=copy.deepcopy(base.model))
            merged = merge(own, tmp_path)
            assert not any("lora" in n or "ln_tuning" in n for n, _ in merged.named_modules())
            assert torch.allclose(merged(**family.pixels).logits, logits, atol=1e-5)
    for name, parameter in base.model.named_parameters():
        assert torch.equal(parameter, of_base[name]), name


def trains_what_it_declares(family: Published, strategy: str, model) -> None:
    roles = family.base.roles
    names = {name for name, _ in family.base.model.named_parameters()}  # a tied pair has one
    declared = roles.require(*PARTS.get(strategy, ()))
    expected = names & set(parameters_of(family.base.model, declared))
    trained = {in_base(name) for name, p in model.named_parameters() if p.requires_grad}
    added = {name for name in trained if any(mark in name for mark in ADDED)}
    assert trained - added == expected
    assert bool(added) == (
        strategy not in PARTS or strategy in ("lora", "adalora", "adapter_serial")
    )
    counted = count_by_role(model, roles)
    assert sum(counted.values()) == count_parameters(model).trainable
    assert "other" not in counted or strategy == "full"


def published(family: Published, folder):
    """Tuned weights on the checkpoint: by plain PEFT where it can, from our own file otherwise."""
    from peft import PeftModel

    model = copy.deepcopy(family.plain)
    if (folder / "adapter_config.json").exists():
        return PeftModel.from_pretrained(model, str(folder)).eval()
    return load_weights(model, folder).eval()


def test_the_norms_of_queries_and_keys_train_where_they_are_asked_for(family, tmp_path) -> None:
    options = STRATEGIES["layernorm_simple"].Config(attention_norms=True)
    model, roles = family.base.trial_copy(), family.base.roles
    apply = get_strategy("layernorm_simple").apply
    if not roles.attention_norm:
        with pytest.raises(ConfigError, match="norms of queries and keys in the attention"):
            apply(model, roles, options)
        return
    tuned = apply(model, roles, options)
    trained = {in_base(name) for name, p in tuned.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.weight" for name in (*roles.norm, *roles.attention_norm)}
    save_weights(tuned, tmp_path, strategy=options, base_name="base")
    targets = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert set(targets) == {*roles.norm, *roles.attention_norm}
