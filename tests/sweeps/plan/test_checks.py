"""Bad sweep files: each refused in one message, before Ray starts, with exit code 2."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
import yaml
from PIL import Image

from sweeps.cli.exit_codes import EXIT_REFUSED
from sweeps.cli.main import main

STRATEGIES = (
    "'adalora', 'adapter_serial', 'adapter_parallel', 'attn_mlp', 'attn_qv', 'connector', 'full', "
    "'layernorm', 'layernorm_simple', 'lora', 'prefix', 'prompt'"
)
LAYOUTS = (
    'has none of the known layouts: Karpathy\'s {"images": [{"filename", "split", "sentences": '
    '[{"raw"}]}]}, LLaVA\'s [{"image", "conversations": [{"from", "value"}]}], or a table as JSON '
    'lines {"messages": [{"role", "content"}], "images": [...]}'
)
NAN = float("nan")

# What is changed in a good sweep, and what is said of it.
CASES: dict[str, tuple[dict, list[str]]] = {
    "an unknown key": (
        {"trian": {"epochs": 1}},
        ["trian is not a known key; did you mean 'train'?"],
    ),
    "several workers without DeepSpeed": (
        {"resources": {"workers_per_trial": 4}},
        [
            "`resources.workers_per_trial` is 4, but several workers need DeepSpeed: give "
            "`train.deepspeed: zero1`, zero2 or zero3"
        ],
    ),
    "a stage, a number of workers and a strategy that are not there": (
        {
            "train": {"deepspeed": "zero4"},
            "resources": {"workers_per_trial": 0},
            "search.strategy": ["ful"],
        },
        [
            "train.deepspeed: 'zero4' is neither one of zero1, zero2, zero3 nor a DeepSpeed config"
            "; did you mean 'zero3'?",
            "resources.workers_per_trial: 0 is neither a whole number from 1 to 100,000 nor a "
            "mapping of strategies to such numbers",
            f"search.strategy[0] is 'ful', but must be one of {STRATEGIES}; did you mean 'full'?",
        ],
    ),
    "workers of a strategy that is not there": (
        {"train": {"deepspeed": "zero2"}, "resources": {"workers_per_trial": {"lors": 2}}},
        [
            "resources.workers_per_trial: the strategy is 'lors', but must be one of "
            f"{STRATEGIES}; did you mean 'lora'?"
        ],
    ),
    "workers that share a GPU": (
        {
            "train": {"deepspeed": "zero2"},
            "resources": {"workers_per_trial": 2, "gpus_per_trial": 0.5},
        },
        [
            "`resources.gpus_per_trial` is 0.5, but with `train.deepspeed` each worker uses one "
            "GPU: set it to 1, and give the number of workers as `resources.workers_per_trial`"
        ],
    ),
    "winners whose weights are sharded": (
        {
            "train": {"deepspeed": "zero3"},
            "resources": {"workers_per_trial": 1},
            "data.report": [{"task": "loss", "annotations": "good.json", "images": "images"}],
        },
        [
            "data.report[].when is 'winners', but must be 'trials': ZeRO-3 shards the weights of "
            "layernorm, which are whole only in its trial",
        ],
    ),
    "asha over trials of several workers": (
        {"train": {"deepspeed": "zero2"}, "search.scheduler": "asha"},
        [
            "`search.scheduler: asha` does not work with `train.deepspeed`; set "
            "`search.scheduler: none`"
        ],
    ),
    "a misspelt strategy": (
        {"search.strategy": ["layer_norm"]},
        [
            f"search.strategy[0] is 'layer_norm', but must be one of {STRATEGIES}; "
            "did you mean 'layernorm'?"
        ],
    ),
    "a negative rate": (
        {"search.learning_rate": [1e-3, -1e-4]},
        ["search.learning_rate[1] is -0.0001, but should be greater than 0"],
    ),
    "an empty grid": (
        {"search.learning_rate": []},
        ["search: `learning_rate` is an empty list: give at least one rate"],
    ),
    "a missing image folder": (
        {"data.tune.images": "nowhere"},
        ["data.tune.images: there is no folder DIR/nowhere"],
    ),
    "images that do not decode": (
        {"data.tune.annotations": "broken.json"},
        [
            "data.tune.images: 1 image that cannot be decoded in DIR/images: text.jpg (it is not "
            "an image in a format that Pillow reads)"
        ],
    ),
    "captions of another layout": (
        {"data.select.annotations": "coco.json"},
        [f"data.select.annotations: DIR/coco.json {LAYOUTS}"],
    ),
    "a path out of the image folder": (
        {"data.tune.annotations": "escape.json"},
        ["data.tune.images: 1 image outside the folder DIR/images: ../x.png"],
    ),
    "a rate that is not a number": (
        {"search.learning_rate": [NAN]},
        ["search.learning_rate[0] is nan, but should be a finite number"],
    ),
    "trials with options twice": (
        {
            "search.strategy": [{"name": "lora", "rank": [4, 8]}],
            "search.learning_rate": [1e-3, 0.001],
        },
        [
            "search: the trial lora rank=4 lr=1e-3 is listed twice",
            "search: the trial lora rank=8 lr=1e-3 is listed twice",
        ],
    ),
    "an option with no value to try": (
        {"search.strategy": ["full", {"name": "lora", "rank": []}]},
        ["search.strategy[1].rank is an empty list: give at least one value"],
    ),
    "true for a strategy's number": (
        {"search.strategy": [{"name": "lora", "rank": True}]},
        ["search.strategy[0]: `rank` is true, but must not be a boolean"],
    ),
    "tpe over a list": (
        {"search.algorithm": "tpe", "search.num_trials": 4},
        [
            "search.learning_rate is [0.001, 0.0001], but must be a range {low, high}; TPE would "
            "draw the same trials repeatedly; use `grid` or `random` for a list"
        ],
    ),
    "a strategy's option": (
        {"search.strategy": [{"name": "lora", "rnak": 4, "rank": 0}]},
        [
            "search.strategy[0].rank is 0, but should be greater than or equal to 1",
            "search.strategy[0].rnak is not a known key; did you mean 'rank'?",
        ],
    ),
    "a strategy that cannot run with another value": (
        {"search.strategy": ["prefix"], "train.gradient_checkpointing": True},
        [
            "`strategy` 'prefix' does not work with gradient checkpointing; set "
            "`train.gradient_checkpointing: false`"
        ],
    ),
    "values that must not vary": (
        {
            "search.values": {
                "data.select.split": ["val", "test"],
                "train.batch_size": [],
                "seed": [1, 2],
            }
        },
        [
            "search.values.data.select.split cannot vary within a sweep; only a key of `train` or "
            "`data.tune` can",
            "search.values.seed cannot vary within a sweep; only a key of `train` or `data.tune` "
            "can",
            "search.values.train.batch_size is an empty list: give at least one value",
        ],
    ),
    "values that the config refuses": (
        {"search.values": {"train.weight_decay": [0.1, -1], "train.epoch": [2]}},
        [
            "search.values: train.epoch is not a known key; did you mean 'epochs'?",
            "search.values: train.weight_decay is -1, but should be greater than or equal to 0",
        ],
    ),
    "kinds that are not": (
        {"data.tune.kinds": ["conversations"]},
        [
            "data.tune.kinds[0] is 'conversations', but must be one of 'conversation', 'detail', "
            "'reasoning'; did you mean 'conversation'?"
        ],
    ),
    "kinds of captions": (
        {"data.tune.kinds": ["detail"]},
        [
            "data.tune.annotations: `kinds` applies only to LLaVA's layout, but DIR/good.json has "
            "Karpathy's; leave it out"
        ],
    ),
    "true for a number": (
        {"train.epochs": True},
        ["train: `epochs` is true, but must not be a boolean"],
    ),
    "tf32 without a GPU": (
        {"train.precision": "tf32"},
        [
            "`train.precision` is 'tf32', which only NVIDIA GPUs have, but "
            "`resources.gpus_per_trial` is 0; use 'fp32' or 'bf16', or give trials a GPU"
        ],
    ),
    "a range for a grid": (
        {"search.learning_rate": {"low": 1e-5, "high": 1e-3}},
        ["search: a range of learning rates needs `algorithm: random` or `tpe`"],
    ),
    "more random trials than there are": (
        {"search.algorithm": "random", "search.num_trials": 3},
        [
            "search.num_trials is 3, but must be at most 2; the search space has no more points; "
            "lower it, or use `algorithm: grid`"
        ],
    ),
    "a split that is not there": (
        {"data.tune.split": "trian"},
        [
            "data.tune: split 'trian' has fewer than 2 images; the file's splits are 'test', "
            "'train', 'val'"
        ],
    ),
    "a checkpoint that is not here": (
        {"model": {"checkpoint": "nobody/nothing"}},
        [
            "model.checkpoint: nobody/nothing is neither a folder with a config.json nor in the "
            "local Hugging Face cache; download it with `hf download nobody/nothing`"
        ],
    ),
    "a layer that the vision tower does not have": (
        {"model": {"tiny": True, "vision_feature_layer": -99}},
        [
            "model.vision_feature_layer is -99, but must be from -4 to 3: the vision tower has 3 "
            "layers"
        ],
    ),
    "lengths without room for text": (
        {"train.max_length": 36, "align": {"max_length": 8}},
        [
            "train.max_length is 36, but must be at least 37: an image has 36 tokens",
            "align.max_length is 8, but must be at least 37: an image has 36 tokens",
        ],
    ),
    "a storage where no folder can be": (
        {"tracking": {"storage": "/dev/null/runs"}},
        ["tracking.storage: nothing can be written to /dev/null/runs: /dev/null is not a folder"],
    ),
    "a storage with a name that is too long": (
        {"tracking": {"storage": "x" * 290}},
        [
            f"tracking.storage: nothing can be written to {'x' * 290}: a part of its name has "
            "more than 255 bytes"
        ],
    ),
    "more trials than can be listed": (
        {"search.learning_rate": [1e-9 * n for n in range(1, 10_002)]},
        ["search has 10,001 trials, but must have at most 10,000"],
    ),
    "more variants than can be listed": (
        {"search.values": {"train.weight_decay": [n / 1e4 for n in range(1001)]}},
        [
            "search has 1,001 combinations of strategies, their options and `values`, but must "
            "have at most 1,000"
        ],
    ),
    "many at once": (
        {"train": {"warmup_raito": 0.1, "epochs": -1}, "seed": "zero", "search.strategy": ["ful"]},
        [
            "train.epochs is -1, but should be greater than 0",
            "train.warmup_raito is not a known key; did you mean 'warmup_ratio'?",
            "seed is 'zero', but should be a valid integer, unable to parse string as an integer",
            f"search.strategy[0] is 'ful', but must be one of {STRATEGIES}; did you mean 'full'?",
        ],
    ),
}


def karpathy(*names: str) -> dict:
    return {
        "images": [
            {"filename": name, "split": split, "sentences": [{"raw": "a dog"}]}
            for name in names
            for split in ("train", "val", "test")
        ]
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "text.jpg").write_text("not an image")
    for name, content in {
        "good": karpathy("a.png", "b.png"),
        "broken": karpathy("a.png", "text.jpg"),
        "escape": karpathy("a.png", "../x.png"),
        "coco": {"annotations": [1]},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def good_sweep() -> dict:
    files = {"annotations": "good.json", "images": "images"}
    return copy.deepcopy(
        {
            "name": "a-sweep",
            "model": {"tiny": True},
            "data": {"tune": files, "select": {"task": "flickr8k", **files}},
            "search": {"strategy": ["layernorm"], "learning_rate": [1e-3, 1e-4]},
        }
    )


def write_sweep(folder: Path, changes: dict) -> Path:
    sweep = good_sweep()
    for key, value in changes.items():
        *parents, last = key.split(".")
        inner = sweep
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def refusal(capsys, folder: Path, *argv: str) -> list[str]:
    """The lines of the message, with the folder's path as DIR and without the headline."""
    assert main(argv) == EXIT_REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    return err.replace(str(folder), "DIR").splitlines()


BESIDE_RAY = {"a layer that the vision tower does not have", "lengths without room for text"}
"""Cases that only the model shows; Ray starts meanwhile."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.heavy] * (case in BESIDE_RAY)) for case in CASES],
)
def test_refused_in_one_message(case, folder, capsys) -> None:
    changes, problems = CASES[case]
    path = write_sweep(folder, changes)
    head, *lines = refusal(capsys, folder, "run", str(path))
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    assert head in (f"lnt: DIR/sweep.yaml: {count}", f"lnt: a-sweep: {count}")
    assert lines == [f"  {problem}" for problem in problems]
    assert not ray.is_initialized()


def test_a_good_sweep_is_not_refused(folder, capsys) -> None:
    assert main(["plan", str(write_sweep(folder, {}))]) == 0


@pytest.mark.heavy
def test_nothing_is_started_for_a_bad_sweep(folder) -> None:
    path = write_sweep(folder, {"search.learning_rate": [-1]})
    code = (
        "import sys; from sweeps.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'ray', 'mlflow'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(path)],
        cwd=folder,
        capture_output=True,
        env={**os.environ, "HOME": str(folder)},
    )
    assert done.returncode == EXIT_REFUSED, done.stderr.decode()
    assert not (folder / "lnt_runs").exists()
    assert not (folder / "mlflow.db").exists()


def test_a_plan_without_the_papers_files_names_them_all(folder, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    head, *lines = refusal(capsys, folder, "plan", "paper-7b")
    assert head == "lnt: paper-7b: 8 problems"
    cache = "neither a folder with a config.json nor in the local Hugging Face cache"
    hub = f"is {cache}; download it"
    assert lines == [
        f"  model.language_model: lmsys/vicuna-7b-v1.5 {hub} with "
        "`hf download lmsys/vicuna-7b-v1.5`",
        f"  model.vision_tower: openai/clip-vit-large-patch14 {hub} with "
        "`hf download openai/clip-vit-large-patch14`",
        "  data.align.annotations: there is no file DIR/cc3m/chat.json",
        "  data.align.images: there is no folder DIR/cc3m/images",
        "  data.tune.annotations: there is no file DIR/llava_instruct_80k.json",
        "  data.tune.images: there is no folder DIR/coco/train2017",
        "  data.select.annotations: there is no file DIR/dataset_flickr30k.json",
        "  data.select.images: there is no folder DIR/flickr30k-images",
    ]
