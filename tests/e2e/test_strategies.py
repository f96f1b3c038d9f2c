"""Every strategy through a whole sweep; other values that vary; subsets of instructions."""

import json
import re

import pytest

from lnt_core.strategies import STRATEGIES
from tests.micro import STAGE

pytestmark = pytest.mark.sweep
SHORT = {"max_steps": 12, **STAGE}
KINDS = {
    "conversation": ["What is on the left?", "And on the right?"],
    "detail": ["Describe the following image."],
    "reasoning": ["Why might the two stand together?"],
}


@pytest.fixture(scope="module")
def everyone(tmp_path_factory, cache):
    """A sweep over all strategies at one rate."""
    from tests.e2e.conftest import Sweep

    search = {"strategy": list(STRATEGIES), "learning_rate": [2e-3]}
    folder = tmp_path_factory.mktemp("everyone") / "sweep"
    sweep = Sweep(folder, cache, search=search, train=SHORT)
    sweep.lnt("run", "sweep.yaml")
    return sweep


def test_each_has_a_winner_with_its_costs_and_its_figures(everyone) -> None:
    everyone.assert_tracked_once(num_trials=len(STRATEGIES), num_steps=12)
    assert {w["strategy"] for w in everyone.best()["winners"]} == set(STRATEGIES)
    client, runs = everyone.runs()
    for run in runs:
        artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert "layers.png" in artifacts
        if run.data.tags["lnt.kind"] == "sweep":
            assert "base/analysis/layer_similarity" in run.data.metrics
            continue
        assert "analysis.json" in artifacts
        metrics = run.data.metrics
        assert {"memory/predicted_training_gib", "memory/training_gib"} <= metrics.keys()
        assert {"analysis/layer_similarity", "compute/tflops_per_s"} <= metrics.keys()
        by_role = sum(v for k, v in metrics.items() if k.startswith("params/by_role/"))
        assert by_role == metrics["params/trainable"]


def test_it_is_exported_and_trains_again_to_the_same_score(everyone, tmp_path) -> None:
    """The one with most state of its own."""
    out = tmp_path / "out"
    everyone.lnt("export", "small", "--strategy", "adalora", "-o", str(out))
    printed = everyone.lnt("train", str(out / "best.yaml"), "-o", str(tmp_path / "again"))
    again, exported = re.search(r"CIDEr (\S+) \(exported: (\S+)\)", printed).groups()
    assert again == exported


def test_options_and_other_values_make_the_trials_one_expects(micro_with) -> None:
    search = {
        "strategy": ["layernorm", {"name": "lora", "rank": [4, 8]}],
        "learning_rate": [1e-3],
        "values": {"train.weight_decay": [0.0, 0.1]},
    }
    sweep = micro_with(search=search, train=SHORT)
    sweep.lnt("run", "sweep.yaml")
    sweep.assert_tracked_once(num_trials=6, num_steps=12)
    _, runs = sweep.runs()
    trials = [run.data for run in runs if run.data.tags["lnt.kind"] == "trial"]
    found = {
        (t.params["strategy.name"], t.params.get("strategy.rank"), t.params["train.weight_decay"])
        for t in trials
    }
    assert found == {
        (name, rank, decay)
        for name, rank in (("layernorm", None), ("lora", "4"), ("lora", "8"))
        for decay in ("0.0", "0.1")
    }
    assert {w["options"].split("=")[0] for w in sweep.best()["winners"]} <= {
        "rank",
        "train.weight_decay",
    }


def test_subsets_of_instructions_are_searched_like_any_value(sweep_with, finished, cache) -> None:
    scenes = next(cache.glob("scenes-*/dataset_scenes.json"))
    images = [i["filename"] for i in json.loads(scenes.read_text())["images"]][:48]
    items = []
    for number, image in enumerate(images):
        said = []
        for question in list(KINDS.values())[number % 3]:
            said += [{"from": "human", "value": f"{question}\n<image>" if not said else question}]
            said += [{"from": "gpt", "value": "A red circle is beside a blue star."}]
        items.append({"id": str(number), "image": image, "conversations": said})
    files = {"images": str(scenes.parent / "images")}
    search = {
        "strategy": ["layernorm"],
        "learning_rate": [1e-3],
        "values": {"data.tune.kinds": [[kind] for kind in KINDS] + [[]]},
    }
    sweep = sweep_with(
        data={
            "align": {"annotations": str(scenes), **files},
            "tune": {"annotations": "llava_instruct_80k.json", **files},
            "select": {"task": "coco", "annotations": str(scenes), **files, "num_images": 8},
        },
        search=search,
        train=SHORT,
    )
    (sweep.folder / "llava_instruct_80k.json").write_text(json.dumps(items))
    sweep.lnt("run", "sweep.yaml")
    _, runs = sweep.runs()
    trials = [run.data for run in runs if run.data.tags["lnt.kind"] == "trial"]
    assert sorted(t.tags.get("lnt.options") for t in trials) == [
        "data.tune.kinds=",
        "data.tune.kinds=conversation",
        "data.tune.kinds=detail",
        "data.tune.kinds=reasoning",
    ]
    assert len({t.metrics["train/final_loss"] for t in trials}) == 4
    assert len({t.tags["lnt.data_sha256"] for t in trials}) == 4
