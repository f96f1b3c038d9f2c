"""Trains the tiny architecture in a process of its own; prints predicted and measured GiB as JSON.

``python -m tests.lnt_core.accounting.measure lora:whole lora:checkpointed ...``: a line each.
Wants ``MALLOC_MMAP_THRESHOLD_=65536``, or glibc keeps freed memory and resident is not used.
"""

import json
import sys

import torch
import transformers
from torch import nn

from lnt_core.accounting.predicted import predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.config import ModelConfig, TrainConfig
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.devices.memory import MemoryMeter
from lnt_core.models.build import build_on_meta
from lnt_core.models.roles import find_roles
from lnt_core.models.vlm import PrecomputedTower, own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.training.answers import answer_loss
from lnt_core.training.batches import Batch
from lnt_core.training.engines import PlainEngine
from lnt_core.training.optimizer_step import optimizer_step
from lnt_core.training.shares import own_share

SHAPE = StepShape(batch=128, tokens=100, image_tokens=36, feature_channels=96, answer_tokens=40)


def batch(size: int, image_token: int) -> Batch:
    ids = torch.full((size, SHAPE.tokens), 5)
    ids[:, : SHAPE.image_tokens] = image_token
    labels = ids.clone()
    labels[:, : -SHAPE.answer_tokens] = IGNORE
    features = torch.randn(size, SHAPE.image_tokens, SHAPE.feature_channels)
    return Batch(ids, None, labels, {"pixel_values": features})


def measure(name: str, *, checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = build_on_meta(ModelConfig(tiny=True)).to_empty(device="cpu").requires_grad_(False)
    for tensor in (*model.parameters(), *model.buffers()):
        nn.init.normal_(tensor, std=0.02) if tensor.is_floating_point() else tensor.zero_()
    model.model.vision_tower = PrecomputedTower()
    model.config.vision_feature_layer, model.config.vision_feature_select_strategy = -1, "full"
    roles, strategy = find_roles(model), get_strategy(name)
    tuned = strategy.apply(model, roles, strategy.Config())
    own_trainable(tuned)
    train = TrainConfig(
        max_steps=4,
        batch_size=SHAPE.batch,
        micro_batch_size=SHAPE.batch,
        gradient_checkpointing=checkpointing,
    )
    predicted = predict_step(tuned, strategy, roles, train, SHAPE, on_gpu=False)
    image_token = model.config.image_token_id
    tuned.train()
    small = batch(2, image_token)
    answer_loss(tuned, small, num_answer_tokens=2 * SHAPE.answer_tokens).backward()  # libraries
    tuned.zero_grad(set_to_none=True)
    engine = PlainEngine(tuned, strategy, train, learning_rate=1e-3, total=4)
    whole = batch(SHAPE.batch, image_token)
    ids, labels = (tuple(tensor[0].tolist()) for tensor in (whole.input_ids, whole.labels))
    share = own_share([Encoded(ids, labels, ())] * SHAPE.batch, size=SHAPE.batch)
    meter = MemoryMeter.start(torch.device("cpu"))
    for step in (1, 2):
        optimizer_step(engine, share, train, step=step, take=lambda: whole)
    print(json.dumps([predicted.growth_gib, meter.growth_gib]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for case in sys.argv[1:]:
        strategy_name, _, activations = case.partition(":")
        measure(strategy_name, checkpointing=activations == "checkpointed")
