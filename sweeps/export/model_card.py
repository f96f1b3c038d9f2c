"""The model card of an export, in the format of the Hugging Face Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core import metrics as metric
from lnt_core.config import CaptioningConfig, RateRatio, TrialConfig
from lnt_core.models.plain import MERGED
from lnt_core.strategies import STRATEGIES
from sweeps.export.best import BestConfig
from sweeps.plan.labels import counted, short_rate
from sweeps.results.selection import Sweep, Trial

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


FILES = {
    "best.yaml": "the complete configuration; `lnt train best.yaml` trains the model again",
    "adapter_model.safetensors": "the tuned weights as a PEFT adapter, with `adapter_config.json`",
    "delta.safetensors": "the tuned weights, each under its parameter's name in the base model",
    "base_connector.safetensors": "the connector trained in stage 1, part of the base model",
    MERGED: "base and tuned weights merged into a plain transformers checkpoint",
    "training_arguments.json": "the same settings for `transformers.TrainingArguments`",
    "accelerate.yaml": "config for `accelerate launch --config_file`, to be run in this folder",
    "deepspeed.json": "the same settings for DeepSpeed; batch sizes are per process",
}
PLAIN = """from PIL import Image, ImageOps
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("merged")
processor = AutoProcessor.from_pretrained("merged")
question = {"type": "text", "text": @PROMPT}
messages = [{"role": "user", "content": [{"type": "image"}, question]}]
text = processor.apply_chat_template(messages, add_generation_prompt=True)
image = ImageOps.exif_transpose(Image.open("image.jpg")).convert("RGB")
inputs = processor(images=image, text=text, return_tensors="pt"@OPTIONS)
tokens = model.generate(**inputs)[0, inputs["input_ids"].shape[1]:]
print(processor.decode(tokens, skip_special_tokens=True))"""
STORED = 'Image.open("image.jpg")'
"""In place of the image turned upright, with `data.exif_orientation: false`."""
SCALED = """
scale = min(1.0, (@MOST / (image.width * image.height)) ** 0.5)
size = int(image.width * scale), int(image.height * scale)
image = image.resize(size, Image.Resampling.BICUBIC)
inputs = """
"""Before the processor sees an image, with `data.max_pixels`."""
PEFT = """from pathlib import Path

import torch
from peft import PeftModel

from lnt_core.data.images import open_rgb
from lnt_core.models.build import load_base
from lnt_core.strategies.weights import load_connector
from sweeps.export.best import load_best
from sweeps.settings import read_settings

trial = load_best(Path("best.yaml")).trial
base = load_base(trial.model, cache=read_settings().cache)
load_connector(base, Path("."))
model = PeftModel.from_pretrained(base.model, ".").eval()

image = open_rgb(Path("image.jpg"), trial.data.opening)
pixels = base.image_processor(image, return_tensors="pt")["pixel_values"]
ids = torch.tensor([base.conversations.encode_prompt(@PROMPT, [image]).input_ids])
tokens = model.generate(
    input_ids=ids,
    attention_mask=torch.ones_like(ids),
    pixel_values=pixels,
    max_new_tokens=64,
)
print(base.conversations.tokenizer.decode(tokens[0, ids.shape[1]:], skip_special_tokens=True))"""
DELTA = """from pathlib import Path

from lnt_core.evaluation.caption import Captioner
from sweeps.export.best import load_best
from sweeps.settings import read_settings

trial = load_best(Path("best.yaml")).trial
captioner = Captioner.load(trial, Path("."), cache=read_settings().cache)
print(captioner.caption([captioner.open(Path("image.jpg"))])[0])"""


def model_card(sweep: Sweep, trial: Trial, best: BestConfig, out: Path) -> str:
    """The text of the card: front matter, method, scores, how to load the model, files.

    Args:
        sweep: The sweep.
        trial: The exported trial.
        best: The content of its `best.yaml`.
        out: The folder of the export; the card describes the files in it.
    """
    method = STRATEGIES[trial.strategy]
    base = "-" if sweep.base_score is None else sweep.objective.shown(sweep.base_score)
    reported = "-" if trial.report_score is None else f"{trial.report_score:.2f}"
    figure = f"\n![{sweep.objective.label} over the learning rate](curve.png)\n"
    curve = figure if (out / "curve.png").exists() else ""
    files = "\n".join(
        f"- `{name}`: {text}." for name, text in FILES.items() if (out / name).exists()
    )
    return f"""---
{_front_matter(sweep, trial, best, out)}
---

# {_title(sweep, trial)}

The best trial of its strategy in a sweep of {counted(len(sweep.trials), "trial")}. Method: \
{method.label} ({method.source}).

| | |
|---|---|
| {sweep.metric} ({sweep.objective.title}) | {sweep.objective.shown(trial.score or 0.0)} |
| untuned base on the same images | {base} |
| held-out score, on the reported split | {reported} |
| trainable parameters | {trial.trainable_parameters:,} ({trial.trainable_share:.3%} of all) |
| seed | {best.trial.seed} |
| git commit, data hash | {best.git_commit[:12]}, {best.data_sha256[:12]} |
{curve}
## How to use it

From this folder: `lnt caption . image.jpg`. Or:

{_code(best.trial, out)}

## Files

{files}
{_rates(best.trial)}"""


def _rates(config: TrialConfig) -> str:
    """What the files for other trainers, which know one learning rate, cannot say."""
    ratio = config.train.rate_ratio
    if ratio == RateRatio():
        return ""
    return (
        f"\nThe files for other trainers have one learning rate, {config.learning_rate:g}. The "
        f"connector was trained at {ratio.connector:g} of it, word embedding and output head at "
        f"{ratio.embedding:g} (`train.rate_ratio`): give their optimizer groups of parameters.\n"
    )


def _title(sweep: Sweep, trial: Trial) -> str:
    return f"{sweep.name}: {trial.strategy} at learning rate {short_rate(trial.learning_rate)}"


def _front_matter(sweep: Sweep, trial: Trial, best: BestConfig, out: Path) -> str:
    from huggingface_hub import ModelCardData

    is_adapter = (out / "adapter_config.json").is_file()
    data = ModelCardData(
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="image-text-to-text",
        base_model=_bases(best.trial),
        tags=["lnt", trial.strategy],
        model_name=_title(sweep, trial),
        eval_results=_results(trial, best.trial),
    )
    return str(data.to_yaml())


def _bases(config: TrialConfig) -> list[str]:
    """Names of the base models: on the Hub, or the name of the folder for a local one."""
    model = config.model
    names = [model.checkpoint, model.language_model, model.vision_tower]
    found = [Path(n).name if Path(n).is_absolute() else n for n in names if n is not None]
    return found or ["lnt-tiny"]


def _results(trial: Trial, config: TrialConfig) -> list["EvalResult"]:
    from huggingface_hub import EvalResult

    select, objective = config.data.select, trial.objective
    if objective.metric != metric.SELECT_CIDER:
        data = select.task if select else "scenes"
        split = getattr(select, "split", None) or "val"
        return [
            EvalResult(
                task_type="visual-question-answering",
                dataset_type=data,
                dataset_name=data,
                dataset_split=split,
                metric_type=objective.metric.removeprefix("select/"),
                metric_name=objective.title,
                metric_value=trial.score,
            )
        ]
    if select is None:
        task = "scenes"
        scores: dict[str | None, float | None] = {"val": trial.score, "test": trial.report_score}
    else:
        assert isinstance(select, CaptioningConfig)
        task = select.task
        scores = {select.split: trial.score, select.report_split: trial.report_score}
    return [
        EvalResult(
            task_type="image-to-text",
            dataset_type=task,
            dataset_name=f"{task} {split}",
            dataset_split=split,
            metric_type="cider",
            metric_name="CIDEr x 100",
            metric_value=score,
        )
        for split, score in scores.items()
        if split and score is not None
    ]


def _code(config: TrialConfig, out: Path) -> str:
    """Example code to run in the folder, chosen by the files in it."""
    from lnt_core.evaluation.caption import asked

    blocks = []
    prompt = repr(asked(config)[0])
    if (out / MERGED).is_dir():
        is_template = config.model.conversation == "chat_template"
        code = PLAIN.replace("@OPTIONS", ", add_special_tokens=False" if is_template else "")
        if not config.data.exif_orientation:
            code = code.replace(", ImageOps", "")
            code = code.replace(f"ImageOps.exif_transpose({STORED})", STORED)
        if config.data.max_pixels is not None:
            code = code.replace("\ninputs = ", SCALED.replace("@MOST", str(config.data.max_pixels)))
        blocks.append(("With transformers alone (in float32; `dtype` changes that)", code))
    if (out / "adapter_config.json").is_file():
        blocks.append(("With PEFT", PEFT))
    else:
        blocks.append(("With lnt, as a library", DELTA))
    return "\n\n".join(
        f"{title}:\n\n```python\n{code.replace('@PROMPT', prompt)}\n```" for title, code in blocks
    )
