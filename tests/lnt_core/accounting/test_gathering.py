"""Captions of a sharded base are those of one process, however the weights are gathered."""

import json
import subprocess

import pytest

from tests.lnt_core.accounting.gathering_worker import MEMORY_GIB
from tests.lnt_core.launch import torchrun
from tests.parts import TRAIN

pytestmark = pytest.mark.sweep
TOKENS = 7
WORKERS = 2


def captioned(trial_config, scenes, folder, deepspeed, *, workers: int) -> list[dict]:
    """What the worker saw, of each evaluation; three images in batches of one leave a remainder."""
    folder.mkdir()
    short = {"batch_size": 1, "max_new_tokens": TOKENS, "num_images": 3}
    select = scenes.select.model_dump() | short
    config = trial_config(
        train=TRAIN | {"deepspeed": deepspeed}, data=scenes.model_dump() | {"select": select}
    )
    (folder / "config.json").write_text(config.model_dump_json())
    program = ["tests.lnt_core.accounting.gathering_worker", folder / "config.json"]
    done = subprocess.run(
        [*torchrun(workers), *program, folder / "seen.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "seen.json").read_text())


def test_weights_that_fit_are_gathered_once_for_all_captions(
    trial_config, scenes, tmp_path
) -> None:
    # none is kept gathered for being small, as all weights of this model are
    parts = {"zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0}}
    (plain, *_) = captioned(trial_config, scenes, tmp_path / "plain", None, workers=1)
    seen = captioned(trial_config, scenes, tmp_path / "parts", parts, workers=WORKERS)
    assert len(seen) == len(MEMORY_GIB)
    once, each, again = seen
    for told in seen:
        assert told["captions"] == plain["captions"]
        assert told["scores"]["select/cider"] == plain["scores"]["select/cider"]
        assert told["held"] == [0] * WORKERS
    assert "select/gathered_once" not in plain["scores"]
    assert [told["scores"]["select/gathered_once"] for told in seen] == [1, 0, 1]
    assert [told["parts"] for told in seen] == [once["parts"]] * len(seen)
    # each weight once, however many captions; worker 0 has two of them, and so all run for two
    assert once["gathers"] == again["gathers"] == [once["parts"]] * WORKERS
    layers = 2 + 2  # of the language model: blocks, embedding, head
    assert min(each["gathers"]) >= layers * 2 * TOKENS
