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
LARGE = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 24}
MODEL_BYTES = 24 * (4 * 512 * 512 + 3 * 512 * 1408) * 4
"""Of the blocks' linear layers in float32: 308 MB. What else there is, is small."""


def loaded(configs: list[ModelConfig], how: str, folder, *, workers: int, precision="fp32") -> dict:
    seen = folder / f"{how}.json"
    asked = [*(config.model_dump_json() for config in configs), precision, how, seen]
    program = [*torchrun(workers), "tests.lnt_core.distributed.parts_worker", *asked]
    # what is freed goes back at once: the heap's holes are not the model
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(seen.read_text())


def test_no_worker_ever_holds_the_whole(parts, tmp_path) -> None:
    # kept in bfloat16, so that a whole model is memory of the process's own and not a mapped file
    text = text_config(**LARGE, tie_word_embeddings=False, dtype="bfloat16")
    configs = [model_config(parts), model_config(save_parts(tmp_path, text))]
    shared = loaded(configs, "zero3", tmp_path, workers=WORKERS)
    whole = loaded(configs, "whole", tmp_path, workers=1)
    assert whole["growth"][0] > 0.95 * MODEL_BYTES
    # a quarter is kept; besides it, the layer that is being read
    assert max(shared["growth"]) < 0.35 * MODEL_BYTES
    assert shared["logits"] == pytest.approx(whole["logits"], abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["parts", "tied_parts", "checkpoint"])
def test_a_base_in_parts_answers_as_a_whole_one(kind, precision, request, tmp_path) -> None:
    made = request.getfixturevalue(kind)
    config = ModelConfig(checkpoint=made) if kind == "checkpoint" else model_config(made)
    parts = loaded([config], "zero3", tmp_path, workers=2, precision=precision)
    whole = loaded([config], "whole", tmp_path, workers=1, precision=precision)
    assert parts["dtypes"] == whole["dtypes"]
    # DeepSpeed adds a bias behind the product, which bfloat16 rounds once more: to the next number,
    # 2**-9 apart below 0.5 and 2**-7 of a larger one at most
    rounding = (2**-7, 2**-9) if precision == "bf16" else (0, 0)
    expected = pytest.approx(whole["logits"], rel=rounding[0], abs=rounding[1])
    assert parts["logits"] == expected
    language = [name for name in parts["in_parts"] if "language_model" in name]
    assert language
    assert not [n for n in parts["in_parts"] if "vision_tower" in n or "projector" in n]
