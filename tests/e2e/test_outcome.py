"""What a finished sweep gives: export, training again, other searches, real photographs."""

import json
import os
import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("LNT_REAL_DATA", ROOT.parent / "shared" / "data" / "flickr8k"))


def test_an_export_trains_again_to_the_same_score(finished, tmp_path) -> None:
    finished.lnt("export", "small", "-o", str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"best.yaml", "README.md", "base_connector.safetensors"} <= names
    printed = finished.lnt("train", str(tmp_path / "out" / "best.yaml"), "-o", str(tmp_path / "t"))
    again, exported = re.search(r"CIDEr (\S+) \(exported: (\S+)\)", printed).groups()
    assert again == exported


def test_an_exported_adapter_loads_with_plain_peft(finished, cache, tmp_path) -> None:
    import torch
    from peft import PeftModel
    from PIL import Image

    from lnt_core.models.build import load_base
    from lnt_core.strategies.weights import load_connector, load_weights
    from sweeps.best import load_best

    out = tmp_path / "out"
    finished.lnt("export", "small", "--strategy", "layernorm", "-o", str(out))
    base = load_base(load_best(out / "best.yaml").trial.model, cache=cache)
    load_connector(base, out)
    image = next(iter(cache.glob("scenes-*/images/val_00000.png")))
    prompt = torch.tensor([base.conversations.encode_prompt("What is there?")])
    pixels = base.image_processor(Image.open(image), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        ours = load_weights(base.trial_copy(), out)(
            input_ids=prompt, pixel_values=base.image_features([image])
        ).logits
        plain = PeftModel.from_pretrained(base.model, str(out))
        theirs = plain(input_ids=prompt, pixel_values=pixels).logits
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_tpe_draws_as_many_trials_as_asked_for(sweep_with) -> None:
    search = {
        "strategy": ["layernorm", "full"],
        "learning_rate": {"low": 1e-5, "high": 1e-2},
        "algorithm": "tpe",
        "num_trials": 4,
    }
    sweep = sweep_with(search=search)
    sweep.lnt("run", "sweep.yaml")
    sweep.assert_tracked_once(num_trials=4, num_steps=150)


def test_asha_stops_the_worse_trials_midway(sweep_with) -> None:
    search = {
        "strategy": ["full"],
        "learning_rate": {"low": 1e-7, "high": 5e-3},
        "algorithm": "random",
        "num_trials": 6,
        "scheduler": "asha",
    }
    sweep = sweep_with(search=search)
    sweep.lnt("run", "sweep.yaml")
    _, runs = sweep.runs()
    statuses = [r.data.tags["lnt.status"] for r in runs if r.data.tags["lnt.kind"] == "trial"]
    assert len(statuses) == 6
    assert set(statuses) == {"finished", "stopped"}
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs at {REAL}")
def test_real_photographs_end_above_the_untuned_base(sweep_with) -> None:
    sweep = sweep_with()
    files = {"annotations": REAL / "dataset_flickr8k.json", "images": REAL / "images"}
    places = [f"model.tiny.text={REAL / 'captions_text.txt'}"] + [
        f"{stage}.{key}={path}"
        for stage in ("model.tiny.pairs", "data.tune", "data.select")
        for key, path in files.items()
    ]
    overrides = [argument for place in places for argument in ("--set", place)]
    sweep.lnt("run", str(ROOT / "tests" / "e2e" / "flickr8k.yaml"), *overrides)
    best = json.loads(sweep.lnt("best", "flickr8k-sample", "--json"))
    assert [w["strategy"] for w in best["winners"]] == ["full", "layernorm"]
    assert all(winner["score"] > best["base_score"] for winner in best["winners"])
