"""Ten steps against PEFT as its own documentation uses it: the same losses."""

import copy
import itertools
import math

import peft
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch.nn.utils.rnn import pad_sequence
from transformers import get_cosine_schedule_with_warmup

from lnt_core.config import TrainConfig
from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import AnyStrategyConfig, get_strategy
from lnt_core.training.batches import collate, sample_order
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, train

STEPS, BATCH, RATE, ORTHOGONAL = 10, 4, 3e-3, 0.5
LM = r".*language_model.*\.({})"
BLOCK_LINEARS = LM.format("[qkvo]_proj|gate_proj|up_proj|down_proj")
NORMS = LM.format("input_layernorm|post_attention_layernorm|norm")
CASES = {
    "layernorm_simple": ({}, peft.LNTuningConfig(target_modules=NORMS)),
    "lora": (
        {"rank": 4, "alpha": 8, "train_base": False},
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=BLOCK_LINEARS),
    ),
    "adalora": (
        {"init_rank": 6, "target_rank": 2, "alpha": 12, "initial_ratio": 0.2, "final_ratio": 0.3},
        peft.AdaLoraConfig(
            init_r=6,
            target_r=2,
            lora_alpha=12,
            tinit=2,
            tfinal=3,
            total_step=STEPS,
            orth_reg_weight=ORTHOGONAL,
            target_modules=BLOCK_LINEARS,
            task_type="CAUSAL_LM",
        ),
    ),
    "prefix": (
        {"num_tokens": 5, "hidden_size": 16},
        peft.PrefixTuningConfig(
            num_virtual_tokens=5,
            prefix_projection=True,
            encoder_hidden_size=16,
            task_type="CAUSAL_LM",
        ),
    ),
    "prompt": (
        {"num_tokens": 5},
        peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
    ),
}


def our_losses(base, scenes, name: str, options: dict) -> list[float]:
    strategy = get_strategy(name)
    chosen = TypeAdapter(AnyStrategyConfig).validate_python({"name": name} | options)
    torch.manual_seed(0)
    model = strategy.apply(base.trial_copy(), base.roles, chosen)
    own_trainable(model)
    losses = []

    def report(step: int, metrics: dict[str, float]) -> None:
        losses.append(metrics["train/loss"] + metrics.get("train/penalty", 0.0))

    train(
        model,
        [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)],
        TrainConfig(
            max_steps=STEPS,
            batch_size=BATCH,
            micro_batch_size=BATCH,
            warmup_ratio=0.2,
            max_grad_norm=1e9,
            gradient_checkpointing=False,
        ),
        strategy=strategy,
        learning_rate=RATE,
        seed=0,
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(report),
    )
    return losses


def pefts_losses(base, scenes, config: peft.PeftConfig) -> list[float]:
    """The whole model with its tower, pixels in, labels in: as a user of PEFT writes it."""
    samples = load_samples(scenes.tune, seed=0)
    encoded = [base.conversations.encode(sample) for sample in samples]
    store = FeatureStore(base, max_bytes=2**20)
    torch.manual_seed(0)
    model = peft.get_peft_model(copy.deepcopy(base.model), config).train()
    model.get_base_model().model.vision_tower.eval()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], RATE, weight_decay=0.0
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.2 * STEPS), STEPS)
    order, losses = sample_order(len(samples), seed=0), []
    for step in range(1, STEPS + 1):
        chosen = list(itertools.islice(order, BATCH))
        batch = collate([encoded[i] for i in chosen], pad_id=0, store=store)
        images = [Image.open(samples[i].images[0]).convert("RGB") for i in chosen]
        loss = model(
            input_ids=batch.input_ids,
            attention_mask=pad_sequence(
                [torch.ones(len(encoded[i].input_ids)) for i in chosen], batch_first=True
            ),
            labels=batch.labels,
            pixel_values=base.image_processor(images, return_tensors="pt")["pixel_values"],
        ).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        if isinstance(config, peft.AdaLoraConfig):
            model.base_model.update_and_allocate(step)
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_plain_peft(name, base, scenes) -> None:
    options, config = CASES[name]
    ours = our_losses(base, scenes, name, options)
    theirs = pefts_losses(base, scenes, copy.deepcopy(config))
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert len(set(ours)) == STEPS
