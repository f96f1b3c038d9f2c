"""Taken home from MLflow, a winner captions as it did in its sweep, whichever way it is loaded."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lnt_core.config import TrialConfig
from lnt_core.data.scene_questions import scenes_data
from sweeps.export.best import load_best
from sweeps.validation import load_yaml
from tests.servers import USER, mlflow_server

pytestmark = pytest.mark.sweep

PLAIN = """
import json, sys
sys.modules["lnt_core"] = sys.modules["sweeps"] = None  # importing them raises
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
folder, question, *paths = sys.argv[1:]
model = AutoModelForImageTextToText.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder)
asked = [{"type": "image"}, {"type": "text", "text": question}]
text = processor.apply_chat_template(
    [{"role": "user", "content": asked}], add_generation_prompt=True
)
captions = []
for path in paths:
    image = Image.open(path).convert("RGB")
    inputs = processor(images=image, text=text, return_tensors="pt")
    tokens = model.generate(**inputs)[0, inputs["input_ids"].shape[1]:]
    captions.append(processor.decode(tokens, skip_special_tokens=True))
print(json.dumps(captions))
"""
PYFUNC = """
import base64, json, sys
from pathlib import Path
import mlflow, pandas
uri, model, *paths = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(model)
captions = model.predict(paths)
assert model.predict(pandas.DataFrame({"image": paths})) == captions
coded = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths]
assert model.predict(coded) == captions
print(json.dumps(captions))
"""


def uri_of(sweep) -> str:
    return f"sqlite:///{sweep.folder / 'mlflow.db'}"


def python(sweep, code: str, *argv: str, cwd: Path, **environment: str) -> str:
    """The last line that a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=cwd,
        env=sweep.environment | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def exported(sweep, strategy: str, out: Path, *options: str) -> Path:
    """From a folder that knows nothing of the sweep but MLflow's address."""
    where = ["--tracking-uri", uri_of(sweep), "--strategy", strategy, "-o", str(out)]
    out.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [Path(sys.executable).parent / "lnt", "export", "small", *where, *options],
        cwd=out.parent,
        env=sweep.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def scored(finished, cache):
    """The images of the split that chose, and a strategy's captions of them in the sweep."""

    def read(strategy: str) -> dict[str, str]:
        client, _ = finished.runs()
        winners = {w["strategy"]: w["run_id"] for w in finished.best()["winners"]}
        path = client.download_artifacts(winners[strategy], "captions_select.jsonl")
        rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
        trial = client.download_artifacts(winners[strategy], "trial.yaml")
        config = TrialConfig.model_validate(load_yaml(Path(trial)))
        folder = scenes_data(config.data.scenes, cache).select.images
        return {str(Path(folder) / row["image"]): row["caption"] for row in rows}

    return read


@pytest.mark.parametrize("strategy", ["layernorm", "full"])
def test_every_way_of_captioning_gives_the_sweeps_captions(
    strategy, finished, scored, tmp_path
) -> None:
    expected = scored(strategy)
    images, captions = list(expected), list(expected.values())
    assert len(set(captions)) > 1
    out = exported(finished, strategy, tmp_path / "out", "--merged")
    question = "Provide a one-sentence caption for the provided image."
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    plain = python(finished, PLAIN, str(out / "merged"), question, *images, cwd=elsewhere)
    assert json.loads(plain) == captions
    model = f"models:/small@best-{strategy}"
    registered = python(finished, PYFUNC, uri_of(finished), model, *images, cwd=elsewhere)
    assert json.loads(registered) == captions
    merged = json.loads(finished.lnt("caption", str(out), *images, "--json"))
    assert [row["caption"] for row in merged["captions"]] == captions
    shutil.rmtree(out / "merged")
    on_base = json.loads(finished.lnt("caption", str(out), *images, "--json"))
    assert on_base == merged


@pytest.mark.parametrize("strategy", ["layernorm", "full"])
def test_the_code_of_the_model_card_runs(strategy, finished, scored, tmp_path) -> None:
    image, caption = next(iter(scored(strategy).items()))
    out = exported(finished, strategy, tmp_path / "out", "--merged")
    shutil.copy(image, out / "image.jpg")
    blocks = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        assert python(finished, code, cwd=out) == caption


def test_an_export_is_whole(finished, tmp_path) -> None:
    out = exported(finished, "layernorm", tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "accelerate.yaml",
        "adapter_config.json",
        "adapter_model.safetensors",
        "base_connector.safetensors",
        "best.yaml",
        "curve.png",
        "deepspeed.json",
        "training_arguments.json",
    }
    best = load_best(out / "best.yaml")
    client, _ = finished.runs()
    tags = client.get_run(best.run_id).data.tags
    assert best.git_commit == tags["lnt.git_commit"]
    assert best.data_sha256 == tags["lnt.data_sha256"]
    assert best.versions == json.loads(tags["lnt.versions"])
    assert best.versions["torch"]


def test_accelerate_launches_with_the_file(finished, tmp_path) -> None:
    out = exported(finished, "layernorm", tmp_path / "out")
    (out / "train.py").write_text(
        "import json\n"
        "from accelerate import Accelerator\n"
        "from transformers import TrainingArguments\n"
        "fields = json.load(open('training_arguments.json'))\n"
        "arguments = TrainingArguments(output_dir='run', **fields)\n"
        "print(Accelerator().num_processes, arguments.learning_rate)\n"
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    done = subprocess.run(
        [*launch, "--config_file", "accelerate.yaml", "train.py"],
        cwd=out,
        env=finished.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rate = load_best(out / "best.yaml").trial.learning_rate
    assert done.stdout.splitlines()[-1] == f"1 {rate}"


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(micro_with, tmp_path) -> None:
    search = {"strategy": ["prompt"], "learning_rate": [1e-3]}
    train = {"max_steps": 2, "batch_size": 2, "micro_batch_size": 2}
    sweep = micro_with(search=search, train=train)
    sweep.lnt("run", "sweep.yaml")
    out = tmp_path / "out"
    sweep.lnt("export", "small", "--merged", "-o", str(out), expect=2)
    assert not out.exists()
    sweep.lnt("export", "small", "-o", str(out))
    image = next(iter(Path(sweep.environment["LNT_CACHE"]).glob("scenes-*/images/val_00000.png")))
    told = sweep.lnt("caption", str(out), str(image)).strip()
    model = python(sweep, PYFUNC, uri_of(sweep), "models:/small@best", str(image), cwd=tmp_path)
    assert told == f"{image}: {json.loads(model)[0]}"


def test_a_server_registers_and_gives_the_model_back(micro_with, tmp_path, monkeypatch) -> None:
    for name, value in USER.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as server:
        sweep = micro_with(
            search={"strategy": ["layernorm"], "learning_rate": [1e-3]},
            train={"max_steps": 2, "batch_size": 2, "micro_batch_size": 2},
            tracking={"uri": server.url},
        )
        sweep.lnt("run", "sweep.yaml")
        folder = Path(sweep.environment["LNT_CACHE"])
        image = str(next(iter(folder.glob("scenes-*/images/val_00000.png"))))
        out = tmp_path / "out"
        sweep.lnt("export", "small", "--tracking-uri", server.url, "-o", str(out))
        shutil.rmtree(sweep.folder / "lnt_runs")
        told = sweep.lnt("caption", str(out), image).strip()
        fresh = python(sweep, PYFUNC, server.url, "models:/small@best", image, cwd=tmp_path)
    assert told == f"{image}: {json.loads(fresh)[0]}"
