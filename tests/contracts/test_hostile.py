"""Whatever files say, they are accepted or refused: nothing else escapes, hangs or is written.

``LNT_FUZZ=10`` makes ten times as many cases, ``LNT_FUZZ_SEED`` others.
"""

import contextlib
import json
import os
import random
import time
import warnings
from pathlib import Path

import pytest
from PIL import Image

from lnt_core.config import DataConfig, ModelConfig
from lnt_core.config.opening import Opening
from lnt_core.data.captioned import load_captioned
from lnt_core.data.images import check_header, open_rgb
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError, LntError
from lnt_core.evaluation.check import data_problems
from sweeps.cli.main import main
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep
from sweeps.plan.trials import trials
from tests.contracts import hostile

pytestmark = pytest.mark.heavy

TIMES = int(os.environ.get("LNT_FUZZ", "1"))
SEED = int(os.environ.get("LNT_FUZZ_SEED", "0"))
MAX_S = 20.0
"""CPU seconds; no file takes longer, accepted or refused. Beside other work the longest plan, of a
good file with many variants, takes 10."""
MAX_PICTURE_S = 30.0
"""The same of a picture: a WebP of 206 bytes says that it is 8,388,617 x 9 pixels, and takes 9 on a
quiet machine."""


def snapshot(folder: Path) -> set[tuple[str, int, int]]:
    found = folder.rglob("*")
    return {(str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in found if not p.is_dir()}


@pytest.fixture
def rng(request) -> random.Random:
    return random.Random(f"{request.node.name} {SEED}")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with a home and data of its own."""
    work = tmp_path / "work"
    (work / "images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(work / "images" / name)
    (work / "karpathy.json").write_text(json.dumps(KARPATHY))
    (work / "llava.json").write_text(json.dumps(LLAVA))
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work))
    return tmp_path


KARPATHY = {
    "images": [
        {
            "filename": name,
            "split": split,
            "filepath": "",
            "sentences": [{"raw": "A dog runs."}] * 2,
        }
        for name in ("a.png", "b.png")
        for split in ("train", "val", "test")
    ]
}
TURNS = [
    {"from": "human", "value": "<image>\nWhat is this?"},
    {"from": "gpt", "value": "A dog."},
    {"from": "human", "value": "Is it large?"},
    {"from": "gpt", "value": "No."},
]
LLAVA = [
    {"id": "1", "image": "a.png", "conversations": TURNS},
    {"id": 2, "image": "b.png", "conversations": TURNS[:2]},
    {"id": "3", "conversations": TURNS[2:]},
]
FILES = {"annotations": "karpathy.json", "images": "images"}
SELECT = {"task": "flickr8k", "split": "val", "report_split": "test", **FILES}
STAGE = {"max_steps": 5, "batch_size": 8, "micro_batch_size": 4}
SWEEPS = [
    {
        "name": "grid",
        "model": {"tiny": True},
        "search": {"strategy": ["layernorm", {"name": "lora", "rank": [4, 8]}],
                   "learning_rate": [1e-3, 1e-4]},
        "train": {**STAGE, "evaluate_at_steps": [1, 3], "max_length": 128},
        "align": {**STAGE, "seed": 1},
        "seed": 3,
    },
    {
        "name": "draws",
        "model": {"tiny": {"pairs": FILES}, "vision_feature_layer": -2},
        "data": {"tune": {**FILES, "num_samples": 2}, "select": {**SELECT, "text_examples": 1}},
        "search": {"strategy": [{"name": "adapter_serial", "width": 8}, {"name": "prompt"}],
                   "algorithm": "random", "num_trials": 4,
                   "learning_rate": {"low": 1e-5, "high": 1e-3},
                   "values": {"train.weight_decay": [0.0, 0.1]}},
        "train": {"epochs": 1, "batch_size": 4, "micro_batch_size": "auto"},
        "resources": {"gpus_per_trial": 1, "gpu_memory_gib": 40, "num_gpus": 4,
                      "gpu_peak_tflops": 156},
        "tracking": {"uri": "sqlite:///x.db", "storage": "runs", "system_metrics_every_s": 5},
        "budget": {"wall_clock_h": 1.0, "trials": 3, "gpu_hours": 2.5},
    },
    {
        "name": "tpe",
        "model": {"language_model": "l", "vision_tower": "v", "connector": "mlp2",
                  "shapes": {"language": {"model_type": "llama", "hidden_size": 32,
                                          "num_hidden_layers": 2, "num_attention_heads": 4,
                                          "intermediate_size": 64, "vocab_size": 100},
                             "vision": {"model_type": "clip_vision_model", "hidden_size": 16,
                                        "num_hidden_layers": 3, "num_attention_heads": 2,
                                        "image_size": 32, "patch_size": 8},
                             "longest_sample": 200}},
        "data": {"tune": {**FILES, "annotations": "llava.json", "kinds": ["conversation"]},
                 "select": SELECT, "exif_orientation": False},
        "search": {"strategy": [{"name": "prefix", "num_tokens": 4}, "adalora", "full"],
                   "algorithm": "tpe", "num_trials": 4, "scheduler": "asha",
                   "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
        "train": {"epochs": 2, "batch_size": 4, "micro_batch_size": 2,
                  "gradient_checkpointing": False, "deepspeed": None},
    },
    {"extends": "demo", "name": "small", "search": {"strategy": ["full"]}},
]  # fmt: skip


def sweep_files(folder: Path, rng: random.Random, count: int):
    """Writes a sweep file after the other; yields its path, and what surrounds it."""
    for _ in range(count):
        content = hostile.mutated(rng.choice(SWEEPS), rng, rng.choice([0, 1, 1, 2, 4]))
        path = folder / "sweep.yaml"
        path.write_bytes(hostile.as_yaml(content, rng))
        yield path


def refusal(path: Path) -> str:
    """What `lnt plan` and `lnt run` say of a sweep file before they start; empty if accepted."""
    try:
        sweep = load_sweep(str(path))
        check_sweep(sweep)
        trials(sweep)
    except LntError as error:
        return str(error)
    return ""


@pytest.mark.timeout(600 * TIMES)
def test_a_sweep_file_is_accepted_or_refused(folder, rng) -> None:
    before, accepted = snapshot(folder / "work"), 0
    for path in sweep_files(folder, rng, 300 * TIMES):
        started = time.process_time()
        told = refusal(path)
        accepted += not told
        assert len(told) < 60_000
        assert time.process_time() - started < MAX_S, path.read_bytes()[:2000]
    assert snapshot(folder / "work") == before
    assert accepted >= 10 * TIMES


@pytest.mark.timeout(600 * TIMES)
def test_the_command_ends_with_0_or_2_and_no_traceback(folder, rng, capsys) -> None:
    before, codes = snapshot(folder / "work"), set()
    for path in sweep_files(folder, rng, 80 * TIMES):
        started = time.process_time()
        options = rng.choice([[], ["--json"], ["--no-files"], ["--no-files", "--json"]])
        code = main(["plan", str(path), *options])
        out, err = capsys.readouterr()
        assert code in (0, 2), (code, err)
        assert (code == 2) == err.startswith("lnt: "), err
        assert bool(out) == (code == 0)
        codes.add(code)
        assert time.process_time() - started < MAX_S, path.read_bytes()[:2000]
    assert snapshot(folder / "work") == before
    assert codes == {0, 2}


@pytest.mark.timeout(600 * TIMES)
def test_annotations_are_accepted_or_refused(folder, rng) -> None:
    work = folder / "work"
    before, accepted = snapshot(work), 0
    path = folder / "data.json"
    files = {"annotations": str(path), "images": str(work / "images")}
    data = DataConfig.model_validate({"tune": files, "select": {**SELECT, **files}})
    for _ in range(200 * TIMES):
        layout = rng.choice([KARPATHY, LLAVA])
        path.write_bytes(hostile.as_json(hostile.mutated(layout, rng, rng.choice([0, 1, 2])), rng))
        started = time.process_time()
        problems = data_problems(ModelConfig(tiny=True), data)
        assert len("\n".join(problems)) < 30_000
        tune = [problem for problem in problems if problem.startswith("data.tune")]
        if not tune:
            assert load_samples(data.tune, seed=0)
            accepted += 1
        if not problems:
            assert len(load_captioned(data.select, "val")) >= 2
        assert time.process_time() - started < MAX_S, path.read_bytes()[:2000]
    assert snapshot(work) == before
    assert accepted >= 20 * TIMES


@pytest.mark.timeout(600 * TIMES)
def test_an_image_is_opened_as_rgb_or_refused(folder, rng) -> None:
    before, opened = snapshot(folder / "work"), 0
    whole = hostile.pictures()
    for number in range(5000 * TIMES):
        content = hostile.damaged(rng.choice(whole), rng)
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow tells of odd metadata
            opened += _opens(content, exif_orientation=rng.random() < 0.5)
            if number % 20 == 0:
                (folder / "image").write_bytes(content)
                with contextlib.suppress(DataError):
                    check_header(folder / "image")
        assert time.process_time() - started < MAX_PICTURE_S
    assert snapshot(folder / "work") == before
    assert opened >= 500 * TIMES


def _opens(content: bytes, *, exif_orientation: bool) -> bool:
    try:
        return open_rgb(content, Opening(exif_orientation=exif_orientation)).mode == "RGB"
    except DataError:
        return False
