"""Five steps on each family of checkpoints against transformers and PEFT alone: the same losses."""

import re

import peft
import pytest
import torch
from transformers import AutoModelForImageTextToText, get_cosine_schedule_with_warmup

from lnt_core.config import TrainConfig
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, train

pytestmark = pytest.mark.wide

STEPS, RATE = 5, 3e-3
DECODER = r".*(language_model|text_model)\."
LINEARS = DECODER + r".*([qkvo]_proj|gate_proj|up_proj|down_proj)"
NORMS = DECODER + r"(norm|layers\.\d+\.((input|(pre|post)_feedforward|post_attention)_layernorm))"
SHARED = r"merger|connector|projector|image_newline|embed_tokens|lm_head"
CASES = {
    "lora": ({"rank": 4, "alpha": 8}, peft.LoraConfig(r=4, lora_alpha=8, target_modules=LINEARS)),
    "layernorm": ({}, peft.LNTuningConfig(target_modules=NORMS)),
}
"""Our options, and PEFT's for the same; both train the parts that ``SHARED`` names as well."""


def our_losses(family, name: str, options: dict) -> list[float]:
    strategy, losses = get_strategy(name), []
    torch.manual_seed(0)
    chosen = STRATEGIES[name].Config(**options)
    model = strategy.apply(family.base.trial_copy(), family.base.roles, chosen)
    own_trainable(model)
    rows = family.encoded()
    train(
        model,
        rows,
        TrainConfig(
            max_steps=STEPS,
            batch_size=len(rows),
            micro_batch_size=len(rows),
            warmup_ratio=0.0,
            max_grad_norm=1e9,
            gradient_checkpointing=False,
        ),
        strategy=strategy,
        learning_rate=RATE,
        seed=0,
        loading=Loading(FeatureStore(family.base, max_bytes=2**24), pad_id=family.pad_id),
        hooks=Hooks(lambda step, metrics: losses.append(metrics["train/loss"])),
    )
    return losses


def plain_losses(family, config: peft.PeftConfig) -> list[float]:
    """Pixels in, labels in, as a user of both libraries writes it."""
    labels = family.batch(family.encoded()).labels
    plain = AutoModelForImageTextToText.from_pretrained(family.folder)
    torch.manual_seed(0)
    model = peft.get_peft_model(plain, config).train()
    for name, parameter in model.named_parameters():
        if re.search(SHARED, name) and "lora" not in name:
            parameter.requires_grad_(True)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, RATE, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 0, STEPS)
    inputs, losses = family.plainly(), []
    for _ in range(STEPS):
        logits = model(**inputs).logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_plain_transformers_and_peft(name, family) -> None:
    options, config = CASES[name]
    ours, theirs = our_losses(family, name, options), plain_losses(family, config)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert len(set(ours)) == STEPS
