"""A base loaded under ZeRO-3: no worker ever holds the whole, and it answers as a whole one."""

import json
import os
import subprocess

import pytest

from lnt_core.config import ModelConfig
from tests.lnt_core.launch import torchrun
from tests.parts import model_config, save_parts, text_config

pytestmark = pytest.mark.sweep
WORKERS = 4
PRECISIONS = ("fp32", "bf16")
LARGE = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 24}
MODEL_BYTES = 24 * (4 * 512 * 512 + 3 * 512 * 1408) * 4
"""Of the blocks' linear layers in float32: 308 MB. What else there is, is small."""


CASES = [
    (kind, precision) for kind in ("parts", "tied_parts", "checkpoint") for precision in PRECISIONS
]


def loaded(cases: list[tuple[ModelConfig, str]], how: str, folder, *, workers: int) -> list[dict]:
    """What was seen of each model, loaded one after another in each of so many workers."""
    seen = folder / f"{how}.json"
    asked = json.dumps([(config.model_dump(mode="json"), precision) for config, precision in cases])
    worker = "tests.lnt_core.distributed.parts_worker"
    program = [*torchrun(workers), worker, how, asked, seen]
    # what is freed goes back at once: the heap's holes are not the model
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(seen.read_text())


def test_no_worker_ever_holds_the_whole(parts, tmp_path) -> None:
    # kept in bfloat16, so that a whole model is memory of the process's own and not a mapped file
    text = text_config(**LARGE, tie_word_embeddings=False, dtype="bfloat16")
    cases = [(model_config(made), "fp32") for made in (parts, save_parts(tmp_path, text))]
    _, shared = loaded(cases, "zero3", tmp_path, workers=WORKERS)
    _, whole = loaded(cases, "whole", tmp_path, workers=1)
    assert whole["growth"][0] > 0.95 * MODEL_BYTES
    # a quarter is kept; besides it, the layer that is being read
    assert max(shared["growth"]) < 0.35 * MODEL_BYTES
    assert shared["logits"] == pytest.approx(whole["logits"], abs=1e-5)


@pytest.fixture(scope="module")
def answers(parts, tied_parts, checkpoint, tmp_path_factory) -> dict[str, list[dict]]:
    """What was seen of each of `CASES`, by how it was loaded."""
    made = {
        "parts": model_config(parts),
        "tied_parts": model_config(tied_parts),
        "checkpoint": ModelConfig(checkpoint=checkpoint),
    }
    cases = [(made[kind], precision) for kind, precision in CASES]
    return {
        how: loaded(cases, how, tmp_path_factory.mktemp(how), workers=workers)
        for how, workers in (("zero3", 2), ("whole", 1))
    }


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_a_base_in_parts_answers_as_a_whole_one(kind, precision, answers) -> None:
    parts, whole = (answers[how][CASES.index((kind, precision))] for how in ("zero3", "whole"))
    assert parts["dtypes"] == whole["dtypes"]
    # DeepSpeed adds a bias behind the product, which bfloat16 rounds once more: to the next number,
    # 2**-9 apart below 0.5 and 2**-7 of a larger one at most
    rounding = (2**-7, 2**-9) if precision == "bf16" else (0, 0)
    expected = pytest.approx(whole["logits"], rel=rounding[0], abs=rounding[1])
    assert parts["logits"] == expected
    language = [name for name in parts["in_parts"] if "language_model" in name]
    assert language
    assert not [n for n in parts["in_parts"] if "vision_tower" in n or "projector" in n]
