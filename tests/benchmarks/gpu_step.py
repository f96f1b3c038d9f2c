"""One training step of a 7B-shaped model on a GPU: ours, and the same written plainly.

``python -m tests.benchmarks.gpu_step``: weights are random, images are tensors, and every line is
measured in this run: tokens/s, MFU against the rate of the GPU's own matrix product at the same
precision, peak memory in use and reserved by torch's allocator. Beside them is the peak that is
predicted. FLOPs count attention over all pairs of tokens, also what the causal mask leaves out.
Zhao et al., arXiv:2312.11420, report 24.2 GB for LayerNorm tuning of 7B; this is the anchor for
memory. ``--tiny`` runs the same code on a tiny shape and the CPU.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import peft
import torch
from torch import nn

from lnt_core.accounting.predicted import StepCost, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.config import ModelConfig, TrainConfig
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.devices.chosen import is_gpu, settle_device
from lnt_core.devices.memory import GIB, empty
from lnt_core.devices.numerics import settle_numerics
from lnt_core.models.build import build_on_meta
from lnt_core.models.roles import Roles, find_roles
from lnt_core.models.vlm import PrecomputedTower, own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.training.batches import Batch
from lnt_core.training.engines import PlainEngine
from lnt_core.training.optimizer import set_checkpointing
from lnt_core.training.optimizer_step import optimizer_step
from lnt_core.training.shares import own_share
from sweeps.plan.load import load_sweep

PAPER_GB = 24.2
RANK, ALPHA = 64, 128.0
STRATEGIES = ("layernorm", "lora", "attn_qv")
WARM_UP, STEPS = 3, 10
NO_GPU = "gpu_step measures a GPU, and this machine has none that torch can use; --tiny runs on CPU"


@dataclass(frozen=True)
class Measured:
    """Of one way to step."""

    step_s: float
    """Median."""
    peak_gib: float
    reserved_gib: float
    """What torch's allocator took from the GPU for this peak."""


@dataclass(frozen=True)
class Step:
    """A step of one strategy, taken by lnt or plainly."""

    name: str
    precision: str
    who: str
    """``lnt`` or ``plain``."""
    tokens_per_s: float
    mfu: float
    """Share of the rate of the GPU's own matrix product, 0..1."""
    seen: Measured
    cost: StepCost
    """As predicted, for either way."""

    def __str__(self) -> str:
        line = f"{self.name:<10} {self.precision:<10} {self.who:<6} {self.tokens_per_s:>9,.0f}"
        memory = f"{self.seen.peak_gib:>9.2f} {self.seen.reserved_gib:>9.2f}"
        return f"{line} {self.mfu:>6.1%} {memory} {self.cost.peak_gib:>10.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--micro-batch", type=int, default=4, help="conversations of a step")
    parser.add_argument("--tokens", type=int, default=512, help="of each, the image's included")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    args = parser.parse_args()
    if not args.tiny and not torch.cuda.is_available():
        sys.exit(NO_GPU)
    device = torch.device("cpu" if args.tiny else "cuda")
    settle_device(str(device))
    print(
        f"{device_name(device)}, torch {torch.__version__}; {args.micro_batch} x {args.tokens} tok"
    )
    print("strategy   precision  who     tokens/s    MFU  peak GiB  reserved  predicted")
    for precision in ("fp32", "bf16") if args.tiny else ("tf32", "bf16"):
        settle_numerics(device, precision)
        rate = matrix_rate(device, precision)
        print(f"matrix product in {precision}: {rate / 1e12:.4g} TFLOP/s")
        for name in STRATEGIES:
            for step in compared(name, precision, args, device, rate):
                print(step, flush=True)
    print(f"The paper: {PAPER_GB} GB = {PAPER_GB * 1e9 / GIB:.1f} GiB for LayerNorm tuning of 7B.")


def compared(
    name: str, precision: str, args: argparse.Namespace, device: torch.device, rate: float
) -> Iterator[Step]:
    """Both ways in turn, each from the same random weights."""
    cost = None
    for who, make in (("lnt", our_step), ("plain", plain_step)):
        torch.manual_seed(0)
        model = random_model(args.tiny, precision, device)
        shape = step_shape(model, args)
        if cost is None:
            cost, flops = predicted(args.tiny, name, precision, shape, device)
        with seeded_peak(device):
            seen = measure(make(name, model, shape, precision, device), device)
        tokens_per_s = shape.batch * shape.tokens / seen.step_s
        yield Step(name, precision, who, tokens_per_s, flops / seen.step_s / rate, seen, cost)
        del model


def random_model(tiny: bool, precision: str, device: torch.device) -> nn.Module:
    """The shape of paper-7b, or the tiny model's, frozen, with random weights; no tower."""
    model = skeleton(tiny, precision)
    inverse = rotary(model)
    model = model.to_empty(device=device)
    for parameter in model.parameters():  # norms are vectors
        nn.init.normal_(parameter, std=0.02) if parameter.dim() > 1 else nn.init.ones_(parameter)
    for name, buffer in model.named_buffers():
        buffer.copy_(inverse[name])
    return model


def skeleton(tiny: bool, precision: str) -> nn.Module:
    """The architecture on the meta device, frozen; features take the place of pixels."""
    model = build_on_meta(ModelConfig(tiny=True) if tiny else load_sweep("paper-7b").model)
    model.model.vision_tower = PrecomputedTower()
    model.config.vision_feature_layer, model.config.vision_feature_select_strategy = -1, "full"
    model.config.image_token_id = 3
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return model.to(dtype).requires_grad_(False)


def rotary(model: nn.Module) -> dict[str, torch.Tensor]:
    """The rotary embedding's frequencies, which are computed and not drawn."""
    text = model.config.text_config
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    frequencies = 1.0 / 10_000 ** (torch.arange(0, size, 2).float() / size)
    return {name: frequencies for name, _ in model.named_buffers() if "inv_freq" in name}


def step_shape(model: nn.Module, args: argparse.Namespace) -> StepShape:
    vision = model.config.vision_config
    image_tokens = (vision.image_size // vision.patch_size) ** 2
    tokens = max(args.tokens, image_tokens + 32) if not args.tiny else image_tokens + 32
    return StepShape(
        batch=args.micro_batch,
        tokens=tokens,
        image_tokens=image_tokens,
        feature_channels=vision.hidden_size,
        answer_tokens=(tokens - image_tokens) // 2,
    )


def batch_of(shape: StepShape, image_token: int, dtype: torch.dtype) -> Batch:
    ids = torch.full((shape.batch, shape.tokens), 5)
    ids[:, : shape.image_tokens] = image_token
    labels = ids.clone()
    labels[:, : -shape.answer_tokens] = IGNORE
    features = torch.randn(shape.batch, shape.image_tokens, shape.feature_channels, dtype=dtype)
    return Batch(ids, None, labels, {"pixel_values": features})


def our_step(
    name: str, model: nn.Module, shape: StepShape, precision: str, device: torch.device
) -> Callable[[], None]:
    """The loop's own step."""
    strategy, options = strategy_of(name)
    tuned = strategy.apply(model, find_roles(model), options)
    own_trainable(tuned)
    train = train_config(shape, precision)
    engine = PlainEngine(tuned, strategy, train, learning_rate=1e-4, total=1000)
    batch = batch_of(shape, model.config.image_token_id, next(model.parameters()).dtype)
    images = {"pixel_values": batch.images["pixel_values"].to(device)}
    batch = replace(batch, images=images)
    ids, labels = (tuple(tensor[0].tolist()) for tensor in (batch.input_ids, batch.labels))
    share = own_share([Encoded(ids, labels, ())] * shape.batch, size=train.micro_batch)
    tuned.train()
    return lambda: optimizer_step(engine, share, train, step=1, take=lambda: batch)


def plain_step(
    name: str, model: nn.Module, shape: StepShape, precision: str, device: torch.device
) -> Callable[[], None]:
    """transformers and PEFT as their documentation has it."""
    roles, tuned = find_roles(model), model
    if name == "attn_qv":  # PEFT has no such method: the modules themselves train
        for trained_module in (*roles.require("attn_q", "attn_v"), *roles.shared):
            model.get_submodule(trained_module).requires_grad_(True)
    else:
        tuned = peft.get_peft_model(model, plain_config(name, roles))
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    set_checkpointing(tuned, on=True)
    tuned.train()
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=device.type == "cuda")
    batch = batch_of(shape, model.config.image_token_id, next(model.parameters()).dtype)
    inputs = {
        "input_ids": batch.input_ids.to(device),
        "attention_mask": torch.ones_like(batch.input_ids, device=device),
        "labels": batch.labels.to(device),
        "pixel_values": batch.images["pixel_values"].to(device),
    }

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = tuned(**inputs, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def plain_config(name: str, roles: Roles) -> peft.PeftConfig:
    base = list(roles.shared)
    if name == "lora":
        targets = list(roles.require("linear"))
        return peft.LoraConfig(
            r=RANK, lora_alpha=ALPHA, target_modules=targets, modules_to_save=base
        )
    return peft.LNTuningConfig(target_modules=list(roles.require("norm")), modules_to_save=base)


def strategy_of(name: str):
    strategy = get_strategy(name)
    given = {"rank": RANK, "alpha": ALPHA} if name == "lora" else {}
    return strategy, strategy.Config(**given)


def train_config(shape: StepShape, precision: str) -> TrainConfig:
    return TrainConfig(
        max_steps=1000,
        batch_size=shape.batch,
        micro_batch_size=shape.batch,
        precision=precision,
    )


def predicted(
    tiny: bool, name: str, precision: str, shape: StepShape, device: torch.device
) -> tuple[StepCost, float]:
    """Cost of a step, and its FLOPs without recomputation: the model's own work."""
    strategy, options = strategy_of(name)
    model = skeleton(tiny, precision)
    roles = find_roles(model)
    tuned = strategy.apply(model, roles, options)
    own_trainable(tuned)
    train = train_config(shape, precision)
    plain = train.model_copy(update={"gradient_checkpointing": False})
    on_gpu = is_gpu(device)
    cost = predict_step(tuned, strategy, roles, train, shape, on_gpu=on_gpu)
    return cost, predict_step(tuned, strategy, roles, plain, shape, on_gpu=on_gpu).flops


def measure(step: Callable[[], None], device: torch.device) -> Measured:
    """The median of some steps, after a few that warm up."""
    times = []
    for number in range(WARM_UP + STEPS):
        synchronise(device)
        began = time.perf_counter()
        step()
        synchronise(device)
        if number >= WARM_UP:
            times.append(time.perf_counter() - began)
    peak, reserved = float("nan"), float("nan")
    if is_gpu(device):
        peak = torch.cuda.max_memory_allocated() / GIB
        reserved = torch.cuda.max_memory_reserved() / GIB
    return Measured(statistics.median(times), peak, reserved)


def matrix_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a large matrix product: what a step could reach at most."""
    size = 8192 if device.type == "cuda" else 512
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / measure(lambda: left @ right, device).step_s


@contextmanager
def seeded_peak(device: torch.device) -> Iterator[None]:
    """A new measurement of the peak, and everything freed behind it."""
    if is_gpu(device):
        torch.cuda.reset_peak_memory_stats()
    yield
    empty(device)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
