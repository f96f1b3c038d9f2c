"""ZeRO on two workers with gloo against one worker without it: losses, bytes, resume, weights."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from peft import PeftModel
from safetensors.torch import load_file

from lnt_core.config import TrialConfig
from lnt_core.evaluation.answering import Answering
from lnt_core.evaluation.tasks import Captioning
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.seeding import seed_everything
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.strategies.weights import load_connector, load_weights
from tests.lnt_core.launch import torchrun
from tests.parts import model_config

STEPS = 10
MORE = {"adalora": 20}
"""At 12, its ranks hide a forgotten factor of clipping, and a state lost in a stop."""
TRAIN = {
    "max_steps": STEPS,
    "batch_size": 4,
    "micro_batch_size": 2,
    "warmup_ratio": 0.2,
    "gradient_checkpointing": False,
    "checkpoint_every_steps": 1,
}
OFFLOAD = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}
NAMES = list(STRATEGIES)
FEW = ("layernorm", "lora", "full", "adalora")
"""By kind: the base's own weights, PEFT's beside them, all of them, and a state of its own."""
REL = 1e-5
"""Workers sum the same gradients in another order, in float32: 6e-8 of a sum. AdamW's division by
the root of a small second moment lets it grow over the steps; 1e-7 was seen. A worker that sees
the wrong samples, or a wrong divisor, errs by 1e-3 in the first step."""

PREDICTED = ("zero1", "zero2")
"""Where standing memory is predicted; of zero3, buckets hide what the tiny model holds."""
OPTIONS = {"adalora": {"init_rank": 11}}
"""An odd rank: ZeRO-3 pads the parts that two workers have of a tensor of 11 numbers."""
RATIOS = {"attn_mlp": {"connector": 0.1, "embedding": 0.5}}
"""``rate_ratio``: three groups of parameters, each with its own rate."""
CLIP = {"adalora": 0.03}
"""``max_grad_norm``; AdaLoRA's norms are from 0.02 to 0.06 here. So its first steps are not clipped
and the later ones are, which moves the importance that its ranks follow."""


@pytest.fixture(scope="session")
def launch(parts, scenes, tmp_path_factory):
    """Run cases in so many workers; a result each."""
    folder = tmp_path_factory.mktemp("zero")

    def run(cases: list[dict], *, workers: int, fails: bool = False) -> list[dict] | str:
        asked = {
            "model": model_config(parts).model_dump(mode="json"),
            "data": scenes.model_dump(mode="json"),
            "cache": str(folder),
            "cases": cases,
        }
        (folder / "asked.json").write_text(json.dumps(asked))
        program = ["tests.lnt_core.training.zero_worker", folder / "asked.json", folder / "seen"]
        done = subprocess.run([*torchrun(workers), *program], capture_output=True, text=True)
        if fails:
            assert done.returncode != 0
            return done.stderr
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((folder / "seen").read_text())

    return run


@pytest.fixture(scope="session")
def plain(launch) -> dict[str, dict]:
    """Each strategy in one process, without DeepSpeed."""
    return dict(zip(NAMES, launch([case(name) for name in NAMES], workers=1), strict=True))


@pytest.fixture(scope="session")
def of_two(launch) -> dict[str, dict[str, dict]]:
    """Strategies in two workers, by stage; all of them where gradients or weights are in parts."""
    names = {"zero1": FEW, "zero2": NAMES, "zero3": NAMES, "offload": FEW}
    cases = [
        case(name, OFFLOAD if stage == "offload" else stage, predicted=stage in PREDICTED)
        for stage in names
        for name in names[stage]
    ]
    trials = iter(launch(cases, workers=2))
    return {stage: {name: next(trials) for name in names[stage]} for stage in names}


def case(name: str, deepspeed=None, *, train=None, **more) -> dict:
    """What `zero_worker` is asked for."""
    own = {"deepspeed": deepspeed, "max_grad_norm": CLIP.get(name, 1.0)}
    own["max_steps"] = MORE.get(name, STEPS)
    own["rate_ratio"] = RATIOS.get(name, {})
    options = OPTIONS.get(name, {})
    return {"strategy": name, "options": options, "train": TRAIN | own | (train or {})} | more


@pytest.mark.sweep
@pytest.mark.parametrize("stage", ["zero1", "zero2", "zero3", "offload"])
def test_two_workers_give_the_losses_of_one(stage, of_two, plain) -> None:
    for name, sharded in of_two[stage].items():
        for seen in ("losses", "penalties"):
            assert sharded[seen] == pytest.approx(plain[name][seen], rel=REL), (name, seen)
        for seen in ("norms", "gradients"):
            expected = pytest.approx(plain[name][seen], rel=10 * REL)
            assert sharded[seen] == expected, (name, seen)
        assert sharded["ranks"] == plain[name]["ranks"]
        assert len(set(sharded["losses"])) == MORE.get(name, STEPS)
        for held in sharded["bytes"]:
            assert held["frozen_gradients"] == 0
            # Two moments in float32 of half of what trains, padded to equal parts; nothing frozen.
            assert held["optimizer"] == pytest.approx(held["trainable"], abs=512)
            if stage in PREDICTED:
                assert held["predicted"] == pytest.approx(held["standing"], rel=0.05), name


@pytest.mark.sweep
def test_adaloras_ranks_fall_within_these_steps_some_of_them_clipped(plain) -> None:
    """Else the comparison would say nothing of its allocator."""
    strategy = get_strategy("adalora").Config(**OPTIONS["adalora"])
    seen = plain["adalora"]
    layers = len(seen["ranks"][-1])
    kept = [None if ranks is None else sum(map(sum, ranks.values())) for ranks in seen["ranks"]]
    assert kept[:2] == [None, None]
    assert strategy.init_rank * layers > kept[2] > kept[5] > kept[-1]
    assert kept[-1] == strategy.target_rank * layers
    assert min(seen["norms"]) < CLIP["adalora"] < max(seen["norms"])


@pytest.mark.sweep
def test_losses_in_bfloat16_are_those_of_one_worker(launch) -> None:
    """With gradient checkpointing, as the paper trains."""
    names = ("layernorm", "lora", "full")
    bf16 = {"precision": "bf16", "gradient_checkpointing": True}
    one = launch([case(name, train=bf16) for name in names], workers=1)
    pairs = [(name, stage) for name in names for stage in ("zero2", "zero3")]
    several = launch([case(name, stage, train=bf16) for name, stage in pairs], workers=2)
    plain = dict(zip(names, one, strict=True))
    for (name, stage), seen in zip(pairs, several, strict=True):
        # bfloat16 rounds to 4e-3; over a batch's tokens it averages out: 6e-5 was seen
        assert seen["losses"] == pytest.approx(plain[name]["losses"], rel=1e-3), (name, stage)
        for held in seen["bytes"]:  # what trains, and its moments, are in float32
            assert held["optimizer"] == pytest.approx(held["trainable"], abs=512)


@pytest.mark.sweep
def test_under_zero_3_a_worker_holds_its_part_of_every_weight(launch) -> None:
    buckets = {"reduce_bucket_size": 1000, "stage3_prefetch_bucket_size": 0}
    parts = {"stage": 3, "stage3_param_persistence_threshold": 0} | buckets
    deepspeed, names = {"zero_optimization": parts}, ("layernorm", "lora", "full")
    for seen in launch([case(name, deepspeed, predicted=True) for name in names], workers=2):
        for held in seen["bytes"]:
            # Half of it, and of each tensor at most a row more.
            assert held["held_weights"] == pytest.approx(held["all_weights"] / 2, rel=0.01)
            # Weights, masters, moments and gradients, by unique storages.
            assert held["predicted"] == pytest.approx(held["standing"], rel=0.05)


@pytest.mark.sweep
def test_the_global_batch_is_exact_whatever_the_number_of_workers(launch) -> None:
    """Uneven; with more pieces here than there; an empty share."""
    splits = ((4, 2), (7, 1), (2, 2))  # batch and micro batch
    sizes = [{"batch_size": batch, "max_steps": 6} for batch, _ in splits]
    whole = launch([case("layernorm", train=s | {"micro_batch_size": 1}) for s in sizes], workers=1)
    split = [
        case("layernorm", "zero2", train=size | {"micro_batch_size": micro})
        for (_, micro), size in zip(splits, sizes, strict=True)
    ]
    for several, one in zip(launch(split, workers=3), whole, strict=True):
        assert several["losses"] == pytest.approx(one["losses"], rel=1e-4)


@pytest.mark.sweep
def test_a_stopped_run_goes_on_bit_for_bit(launch, of_two, tmp_path) -> None:
    chosen = [(stage, name) for stage in ("zero2", "zero3") for name in FEW]
    drawing = case("lora", "zero2", options={"dropout": 0.5})  # each worker draws its own
    cases = [*(case(name, stage) for stage, name in chosen), drawing]
    kept = [
        one | {"checkpoint": str(tmp_path / str(number) / "checkpoint.pt")}
        for number, one in enumerate(cases)
    ]
    *first, drawn = launch([*(one | {"stop_at": 8} for one in kept), drawing], workers=2)
    rest = launch(kept, workers=2)
    whole = [*(of_two[stage][name] for stage, name in chosen), drawn]
    for uncut, start, end in zip(whole, first, rest, strict=True):
        assert len(start["losses"]) == 7
        for seen in ("losses", "norms", "ranks"):
            assert end[seen] == uncut[seen][7:]
    said = launch(kept[:1], workers=3, fails=True)
    assert "the number of workers is 3, but must be 2 as in the checkpoint" in said


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "stages"),
    [("layernorm", ("zero3",)), ("full", ("zero2", "zero3")), ("adalora", ("zero3",))],
)
def test_weights_are_those_of_one_process_and_caption_the_same(
    name, stages, trial_config, tmp_path
) -> None:
    """Stage 1 included, which each trains for itself."""
    outs, align = {}, {"max_steps": 4, "batch_size": 4, "micro_batch_size": 2}
    for deepspeed, workers in ((None, 1), *((stage, 2) for stage in stages)):
        train = TRAIN | {"max_steps": 4, "evaluate_at_steps": [2], "deepspeed": deepspeed}
        config = trial_config(strategy={"name": name}, train=train, learning_rate=3e-3, align=align)
        out = outs[deepspeed] = tmp_path / f"{deepspeed}"
        file = tmp_path / "trial.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        command = [*torchrun(workers), "lnt_core.trial", file, "--out", out]
        command += ["--cache", tmp_path / f"cache-{deepspeed}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        assert json.loads(done.stdout.splitlines()[-1])["status"] == "finished"
    plain, sharded = outs[None], outs["zero3"]
    captions = (plain / "captions_select.jsonl").read_text()
    saved = "delta.safetensors" if name == "full" else "adapter_model.safetensors"
    expected = load_file(plain / "weights" / saved)
    for out in (outs[stage] for stage in stages):
        assert (out / "captions_select.jsonl").read_text() == captions
        assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in plain.iterdir())
        assert ranks(out) == ranks(plain)
        seen = load_file(out / "weights" / saved)
        assert seen.keys() == expected.keys()
        for key, tensor in expected.items():
            assert seen[key].numpy() == pytest.approx(tensor.numpy(), abs=1e-5)
    told = [json.loads(line)["caption"] for line in captions.splitlines()]
    assert_captions(config, sharded, told)


def ranks(out: Path) -> dict | None:
    """Which of AdaLoRA's triplets are left, by layer."""
    config = out / "weights" / "adapter_config.json"
    return json.loads(config.read_text()).get("rank_pattern") if config.exists() else None


def assert_captions(config: TrialConfig, out: Path, expected: list[str]) -> None:
    """Load the weights as anybody would, and caption."""
    seed_everything(config.seed)
    base = load_base(config.model, cache=out)
    load_connector(base, out / "weights")
    if (out / "weights" / "adapter_config.json").exists():
        model = PeftModel.from_pretrained(base.trial_copy(), str(out / "weights"))
    else:
        model = load_weights(base.trial_copy(), out / "weights")
    task = Answering(Captioning(config.data.select), "select", base.conversations, seed=0)
    rows = task.evaluate(model, FeatureStore(base, max_bytes=2**20)).rows
    assert [row["caption"] for row in rows] == expected
