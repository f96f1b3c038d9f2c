"""Features of training images in the plan."""

import json
from pathlib import Path

import pytest

from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from sweeps.config import SweepConfig
from sweeps.plan.costs import Costs
from sweeps.plan.features import PlannedFeatures, planned_features
from sweeps.plan.load import load_sweep

NUM_IMAGES = 3


@pytest.fixture
def content(parts, scenes, tmp_path) -> dict:
    """Eight conversations about three images, each learnt twice."""
    given = scenes.model_dump(mode="json", exclude_none=True)
    names = sorted(path.name for path in Path(scenes.tune.images).iterdir())[:NUM_IMAGES]
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "a square"}]
    samples = [{"image": names[n % NUM_IMAGES], "conversations": turns} for n in range(8)]
    (tmp_path / "tune.json").write_text(json.dumps(samples))
    tune = given["tune"] | {"annotations": str(tmp_path / "tune.json")}
    return {
        "name": "s",
        "model": {"language_model": parts[0], "vision_tower": parts[1], "conversation": "plain"},
        "data": {"tune": tune, "select": given["select"]},
        "search": {"strategy": ["layernorm"], "learning_rate": [1e-3]},
        "train": {"epochs": 2, "batch_size": 4, "micro_batch_size": 4, "max_length": 128},
        "resources": {"gpu_peak_tflops": 100, "mfu": 0.5},
    }


def planned(content: dict) -> PlannedFeatures:
    sweep = SweepConfig.model_validate(content)
    found = planned_features(sweep, Costs(sweep, files=True), files=True)
    assert found is not None
    return found


def test_it_is_what_a_store_keeps_of_each_image_once(content, scenes, tmp_path) -> None:
    found, sweep = planned(content), SweepConfig.model_validate(content)
    base = load_base(sweep.model, cache=tmp_path, device="cpu", precision="fp32")
    image = next(Path(scenes.tune.images).iterdir())
    pixels = FeatureStore(base, max_bytes=0).reader()([(image,)]).found[(image,)].pixels
    assert found.gib * 2**30 == NUM_IMAGES * base.through_tower(pixels).nbytes
    assert (found.num_images, found.kept_share, found.each_pflop) == (NUM_IMAGES, 1, 0)
    assert found.once_gpu_hours == pytest.approx(found.once_pflop * 1e15 / 50e12 / 3600)
    assert "computed once for all trials" in found.line()
    half = planned(content | {"train": content["train"] | {"precision": "bf16"}})
    assert half.gib == found.gib / 2


def test_what_has_no_room_goes_through_the_tower_in_every_trial_on_every_use(content) -> None:
    whole = planned(content)
    room = {"feature_cache_gib": whole.gib / 3}
    found = planned(content | {"resources": content["resources"] | room})
    assert found.kept_share == pytest.approx(1 / 3)
    assert found.once_pflop == pytest.approx(whole.once_pflop / 3)
    # 16 samples are learnt, of which two thirds have an image that is not kept
    assert found.each_pflop == pytest.approx(whole.once_pflop / NUM_IMAGES * 16 * 2 / 3)
    assert "has room for 33%" in found.line()


def test_a_trial_of_few_steps_sees_few_images(content) -> None:
    train = content["train"] | {"max_steps": 1, "batch_size": 2, "micro_batch_size": 2}
    del train["epochs"]
    assert planned(content | {"train": train}).num_images == 2


@pytest.mark.heavy
def test_the_papers_search_needs_more_room_than_the_default() -> None:
    sweep = load_sweep("paper-7b", [])
    found = planned_features(sweep, Costs(sweep, files=False), files=False)
    assert found.gib == pytest.approx(80_000 * 256 * 1024 * 4 / 2**30)
    # CLIP ViT-L/14 has 303 million weights
    whole = found.once_pflop / found.kept_share
    assert whole == pytest.approx(80_000 * 2 * 303e6 * 256 / 1e15, rel=0.01)
    assert "78.1 GiB of disk" in found.line()


@pytest.mark.heavy
def test_where_rows_are_not_image_tokens_nothing_is_said() -> None:
    sweep = load_sweep("qwen2.5-vl-3b", [])
    assert planned_features(sweep, Costs(sweep, files=False), files=False) is None
