"""Memory of a GPU and of its host: loading, lending, the fence, captioning that halves."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lnt_core.devices.memory import GIB, empty, held_by
from lnt_core.models.build import load_base
from lnt_core.strategies import get_strategy
from lnt_core.strategies.tuned import tuned_copy
from sweeps.worker.out_of_memory import run_in_memory
from tests.gpu.limits import Memory, fenced
from tests.gpu.shapes import chosen

pytestmark = pytest.mark.gpu
SHAPE = chosen()
NUM_CAPTIONS = 256 if SHAPE.on_gpu else 8


@contextlib.contextmanager
def host_growth() -> Iterator[list[float]]:
    """A list with GiB by which this process's own memory rises; pages of files do not count."""
    grown, over = [0.0], threading.Event()
    start = _anonymous_gib()

    def watch() -> None:
        while not over.wait(0.005):
            grown[0] = max(grown[0], _anonymous_gib() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    yield grown
    over.set()
    thread.join()


def _anonymous_gib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024 / GIB


@pytest.fixture(scope="module")
def large(bench):
    return bench.parts(SHAPE.large)


def test_loading_and_lending(bench, large, row) -> None:
    """Loading the base, lending its weights and taking them back"""
    device = torch.device(SHAPE.device)
    bench.forget_workers()
    torch.ones(1, device=device)  # the context, which takes memory of the host
    began = time.perf_counter()
    with host_growth() as grown:
        base = load_base(large, cache=bench.folder, device=SHAPE.device)
    took, size = time.perf_counter() - began, held_by(base.model)
    if SHAPE.on_gpu:
        share = grown[0] / size
        row("loading: host memory / weights", share, "< 0.25", share < 0.25)
    row("loading: GiB/s, from files just written", size / took)
    strategy = get_strategy("full")
    model = tuned_copy(base, strategy, strategy.Config())
    before = held(device)
    kept = [p.detach().cpu().clone() for p in base.model.parameters()]
    began = time.perf_counter()
    lent = base.lend_to(model)
    lending = time.perf_counter() - began
    freed = before - held(device)
    del model
    began = time.perf_counter()
    base.take_back()
    taking = time.perf_counter() - began
    same = all(torch.equal(p.cpu(), k) for p, k in zip(base.model.parameters(), kept, strict=True))
    row("take_back: the weights are those of before", same, "all", same)
    if SHAPE.on_gpu:
        row("lend_to: GiB that it says", lent)
        row("lend_to: GiB freed", freed, "as it says, and some", abs(freed - lent) < 0.01 < lent)
        row("lend_to: GiB/s", lent / lending)
        row("take_back: GiB/s", lent / taking)
    at_home = all(p.device.type == SHAPE.device for p in base.model.parameters())
    row("take_back: every weight is on the device", at_home, "all", at_home)


def held(device: torch.device) -> float:
    """GiB that torch's tensors take on a GPU; 0 on a CPU."""
    if device.type == "cpu":
        return 0.0
    empty(device)
    return torch.cuda.memory_allocated(device) / GIB


@pytest.mark.needs("gpu")
def test_segments_grow(row) -> None:
    """Expandable segments in a process that made its worker first"""
    kept = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
    grow = any(segment["is_expandable"] for segment in torch.cuda.memory_snapshot())
    row("expandable segments are set in time", grow, "all", grow, "one process")
    del kept


@pytest.mark.needs("gpu")
def test_fence_of_half_a_gpu(row) -> None:
    """The fence of half a GPU"""
    empty("cuda")
    free, total = torch.cuda.mem_get_info()
    outside = (total - free - torch.cuda.memory_reserved()) / GIB
    row("taken outside torch's allocator, which no fence limits: GiB", outside)
    with fenced(0.5):
        for share, fits in ((0.4, True), (0.6, False)):
            found = True
            try:
                torch.empty(int(share * total), dtype=torch.uint8, device="cuda")
            except torch.OutOfMemoryError:
                found = False
            empty("cuda")
            row(
                "fence of half a GPU: fits",
                found,
                "0.4 of it fits, 0.6 does not",
                found == fits,
                f"{share}",
            )


@pytest.fixture
def memory():
    return Memory(SHAPE.device)


def test_a_trial_halves_its_micro_batch(bench, memory, row) -> None:
    """Out of memory in training, on purpose"""
    settings = {"batch_size": 32, "gradient_checkpointing": False, "deterministic": True}
    whole = bench.config("full", micro_batch_size=32, **settings)
    halves = whole.with_micro_batch(16)
    bench.trial(halves)  # what is kept between trials is there from here on
    small, undisturbed = memory.peak_of(lambda: bench.trial(halves).losses)
    large, _ = memory.peak_of(lambda: bench.trial(whole))
    with memory.limited_between(small, large, num_rows=16):
        seen, ran, note = run_in_memory(whole, bench.trial)
    halved = ran.train.micro_batch == 16
    row("out of memory in training", note or "it fitted", "run again with 16", halved)
    same = seen.losses == undisturbed
    row("out of memory in training: losses as with 16 from the start", same, "equal", same)


def test_captioning_halves_its_batch(bench, memory, row) -> None:
    """Out of memory in captioning, on purpose"""
    prepared = bench.worker().prepare(bench.config("connector"))
    strategy = get_strategy("connector")
    model, task = tuned_copy(prepared.base, strategy, strategy.Config()).eval(), prepared.select
    count = NUM_CAPTIONS
    asked = [i % len(task.items) for i in range(count)]

    def captions(size: int) -> list[str]:
        task.batch_size = size
        return task._answers(model, prepared.store, asked, bf16=False)

    captions(count)
    small, undisturbed = memory.peak_of(lambda: captions(count // 2))
    large, _ = memory.peak_of(lambda: captions(count))
    with memory.limited_between(small, large, num_rows=count // 2):
        halved = captions(count)
    title = f"out of memory in captioning {count} at once"
    row(title, f"{task.batch_size} at once", f"{count // 2}", task.batch_size == count // 2)
    row(f"{title}: captions undisturbed", halved == undisturbed, "equal", halved == undisturbed)
    bench.forget_workers()  # whose batch is smaller now
