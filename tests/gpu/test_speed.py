"""A step and the generation of a 7B-shaped model beside the same written plainly, and the feed."""

import argparse
import time
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from transformers import GenerationConfig

from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.step import StepShape
from lnt_core.devices.memory import GIB, empty, held_by
from lnt_core.devices.numerics import settle_numerics
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.models.features import FeatureStore
from lnt_core.models.roles import find_roles
from tests.benchmarks import gpu_step
from tests.gpu.shapes import chosen

pytestmark = pytest.mark.gpu
SHAPE = chosen()
DEVICE = torch.device(SHAPE.device)
ARGS = argparse.Namespace(tiny=not SHAPE.on_gpu, micro_batch=4, tokens=512)
PRECISIONS = ("tf32", "bf16") if SHAPE.on_gpu else ("bf16",)
SIZE = "7B" if SHAPE.on_gpu else "tiny"
IMAGES, TEXT_TOKENS, NEW_TOKENS = (16, 100, 64) if SHAPE.on_gpu else (2, 4, 4)
PAPER_GIB = gpu_step.PAPER_GB * 1e9 / GIB
SLOWER = 1.05
"""A step's time, as a multiple of the plain one's, that still counts as equal. Assumed."""


@pytest.fixture(autouse=True)
def _as_before(bench):
    bench.forget_workers()
    empty(DEVICE)
    yield
    settle_numerics("cpu", "fp32")
    empty(DEVICE)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", gpu_step.STRATEGIES if SHAPE.on_gpu else ["layernorm"])
def test_a_step(name, precision, row) -> None:
    """A training step beside the same written plainly"""
    settle_numerics(DEVICE, precision)
    rate = gpu_step.matrix_rate(DEVICE, precision)
    ours, plain = gpu_step.compared(name, precision, ARGS, DEVICE, rate)
    title = f"{SIZE} step, {precision}"
    row(f"{title}: matrix product, TFLOP/s", rate / 1e12, of=name)
    row(f"{title}: tokens/s", ours.tokens_per_s, of=name)
    row(f"{title}: MFU, of the matrix product", ours.mfu, of=name)
    slower = plain.tokens_per_s / ours.tokens_per_s
    is_judged = SHAPE.on_gpu  # a tiny step on a busy CPU takes any time
    ok = slower < SLOWER if is_judged else None
    row(f"{title}: time / plain", slower, f"< {SLOWER}", ok, name)
    if SHAPE.on_gpu:
        row(
            f"{title}: peak GiB",
            ours.seen.peak_gib,
            f"the paper: {PAPER_GIB:.1f} for layernorm",
            of=name,
        )
        row(f"{title}: reserved GiB", ours.seen.reserved_gib, of=name)
        row(f"{title}: peak GiB, plain", plain.seen.peak_gib, of=name)
        share = ours.seen.peak_gib / ours.cost.peak_gib
        row(f"{title}: peak / plan", share, "0.9 to 1.1", 0.9 < share < 1.1, name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_generation(precision, row) -> None:
    """Greedy captions beside the same written plainly"""
    settle_numerics(DEVICE, precision)
    torch.manual_seed(0)
    model = gpu_step.random_model(ARGS.tiny, precision, DEVICE).eval()
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=None, pad_token_id=0)
    shape = gpu_step.step_shape(model, ARGS)
    dtype = next(model.parameters()).dtype
    size = (IMAGES, shape.image_tokens, shape.feature_channels)
    features = torch.randn(size, device=DEVICE, dtype=dtype)
    prompt = [model.config.image_token_id] * shape.image_tokens + [5] * TEXT_TOKENS
    bf16 = precision == "bf16"
    spelled = SimpleNamespace(
        batch_decode=lambda rows, **_: [" ".join(map(str, r)) for r in rows.tolist()]
    )

    def ours() -> list[str]:
        return greedy_answers(
            model, features, [prompt] * IMAGES, spelled, max_new_tokens=NEW_TOKENS, bf16=bf16
        )

    def plainly() -> list[str]:
        return spelled.batch_decode(plain_tokens(model, features, prompt, bf16=bf16))

    (captions, took, peak_gib), (expected, plain, _) = timed(ours), timed(plainly)
    title = f"{SIZE} generation, {precision}"
    same = captions == expected
    row(f"{title}: captions are the plain ones", same, "all", same)
    row(f"{title}: ms per token of {IMAGES} captions", took / NEW_TOKENS * 1e3)
    ok = took / plain < SLOWER if SHAPE.on_gpu else None
    row(f"{title}: time / plain", took / plain, f"< {SLOWER}", ok)
    if SHAPE.on_gpu:
        asked = StepShape(IMAGES, len(prompt), shape.image_tokens, shape.feature_channels, 1)
        grown = predict_generation_gib(
            model, find_roles(model), asked, max_new_tokens=NEW_TOKENS, bf16=bf16
        )
        share = peak_gib / (held_by(model) + grown)
        row(f"{title}: peak / plan", share, "0.9 to 1.1", 0.9 < share < 1.1)


@torch.no_grad()
def plain_tokens(model, features, prompt: list[int], *, bf16: bool) -> torch.Tensor:
    """Greedy decoding with a cache: the prompt once, then token after token."""
    ids = torch.tensor([prompt] * len(features), device=DEVICE)
    new, cache, images = [], None, {"pixel_values": features}
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
        for _ in range(NEW_TOKENS):
            done = model(
                input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **images
            )
            ids, cache, images = done.logits[:, -1:].argmax(-1), done.past_key_values, {}
            new.append(ids)
    return torch.cat(new, dim=1)


def timed(work):
    """Its result, its seconds in a second run, and the peak GiB of both on a GPU."""
    work()
    empty(DEVICE)
    if SHAPE.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    gpu_step.synchronise(DEVICE)
    began = time.perf_counter()
    done = work()
    gpu_step.synchronise(DEVICE)
    took = time.perf_counter() - began
    return done, took, torch.cuda.max_memory_allocated() / GIB if SHAPE.on_gpu else 0.0


def test_feed(bench, row, tmp_path) -> None:
    """The feed: images decoded and encoded, and features kept"""
    base = bench.worker().prepare(bench.config("connector")).base
    paths = [tmp_path / f"{number}.jpg" for number in range(64 if SHAPE.on_gpu else 4)]
    for path in paths:
        noise = torch.randint(256, (480, 640, 3), dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(path)
    store = FeatureStore(base, max_bytes=2**30)
    took = []
    for _ in range(2):
        gpu_step.synchronise(DEVICE)
        began = time.perf_counter()
        store.get(paths)
        gpu_step.synchronise(DEVICE)
        took.append((time.perf_counter() - began) / len(paths) * 1e3)
    row("feed: ms per image of noise, 640 x 480, decoded and encoded", took[0])
    row("feed: ms per image, features kept", took[1], "< 1/10 of that", took[1] < took[0] / 10)
