"""What a finished sweep gives: export, training again, other searches, real photographs."""

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep
ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("LNT_REAL_DATA", ROOT.parent / "shared" / "data" / "flickr8k"))


def test_an_exported_adapter_loads_with_plain_peft(finished, cache, tmp_path) -> None:
    import torch
    from peft import PeftModel
    from PIL import Image

    from lnt_core.models.build import load_base
    from lnt_core.strategies.weights import load_connector, load_weights
    from sweeps.export.best import load_best
    from tests.images import features

    out = tmp_path / "out"
    finished.lnt("export", "small", "--strategy", "layernorm", "-o", str(out))
    base = load_base(load_best(out / "best.yaml").trial.model, cache=cache)
    load_connector(base, out)
    image = next(iter(cache.glob("scenes-*/images/val_00000.png")))
    prompt = torch.tensor([base.conversations.encode_prompt("What is there?", [image]).input_ids])
    pixels = base.image_processor(Image.open(image), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        ours = load_weights(base.trial_copy(), out)(
            input_ids=prompt, pixel_values=features(base, [image])
        ).logits
        plain = PeftModel.from_pretrained(base.model, str(out))
        theirs = plain(input_ids=prompt, pixel_values=pixels).logits
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs at {REAL}")
def test_real_photographs_end_above_the_untuned_base(sweep_with) -> None:
    """At the two rates of the paper's eleven at which the winners were seen; see docs/LOG.md."""
    sweep = sweep_with()
    files = {"annotations": REAL / "dataset_flickr8k.json", "images": REAL / "images"}
    places = [f"model.tiny.text={REAL / 'captions_text.txt'}"] + [
        f"{stage}.{key}={path}"
        for stage in ("model.tiny.pairs", "data.tune", "data.select")
        for key, path in files.items()
    ]
    places.append("search.learning_rate=[2e-3, 1e-3]")
    overrides = [argument for place in places for argument in ("--set", place)]
    sweep.lnt("run", str(ROOT / "tests" / "e2e" / "flickr8k.yaml"), *overrides)
    best = json.loads(sweep.lnt("best", "flickr8k-sample", "--json"))
    assert [w["strategy"] for w in best["winners"]] == ["full", "layernorm"]
    assert all(winner["score"] > best["base_score"] for winner in best["winners"])
