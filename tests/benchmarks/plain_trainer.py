"""The rival of `against_trainer`: Ray Tune, HF Trainer and MLflow, as their documentation has it.

Each trial loads the model, reads images by a worker of its data loader, and generates captions.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoProcessor,
    LlavaForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lnt_core.evaluation.cider import CiderScorer
from tests.benchmarks.workloads import CAPTION_PROMPT, Workload

IGNORE = -100
BATCH = 64
"""Images captioned at a time, as `lnt` does by default."""


class Conversations(torch.utils.data.Dataset):
    """Reads an image and tokenizes its conversation when it is asked for."""

    def __init__(self, load: Workload, processor: Any) -> None:
        self._samples = json.loads(Path(load.tune).read_text())
        self._images, self._processor = Path(load.tune_images), processor

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        sample = self._samples[index]
        asked, told = (turn["value"] for turn in sample["conversations"])
        prompt = chat(self._processor, asked.removeprefix("<image>\n"))
        text = chat(self._processor, asked.removeprefix("<image>\n"), told)
        with Image.open(self._images / sample["image"]) as image:
            made = self._processor(images=image.convert("RGB"), text=text, return_tensors="pt")
        answer = self._processor.tokenizer(text[len(prompt) :], add_special_tokens=False)
        ids = made["input_ids"][0]
        labels = ids.clone()
        labels[: -len(answer["input_ids"])] = IGNORE
        return {"input_ids": ids, "labels": labels, "pixel_values": made["pixel_values"][0]}


def chat(processor: Any, question: str, answer: str | None = None) -> str:
    """The prompt about one image, with its answer if there is one."""
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": parts}]
    if answer is not None:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    text: str = processor.apply_chat_template(messages, add_generation_prompt=answer is None)
    return text


def collate(samples: list[dict[str, torch.Tensor]], pad_id: int) -> dict[str, torch.Tensor]:
    """Pad to the longest."""

    def padded(name: str, value: int) -> torch.Tensor:
        rows = [sample[name] for sample in samples]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

    lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
    ids = padded("input_ids", pad_id)
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
        "labels": padded("labels", IGNORE),
        "pixel_values": torch.stack([sample["pixel_values"] for sample in samples]),
    }


class Watched(Trainer):
    """Counts tokens, padding, and the time for which the training thread waits for data."""

    waited_s, useful, padded = 0.0, 0, 0

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        began_s = time.perf_counter()
        got = super().get_batch_samples(*args, **kwargs)
        self.waited_s += time.perf_counter() - began_s
        return got

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        mask = inputs["attention_mask"]
        self.useful += int(mask.sum())
        self.padded += mask.numel() - int(mask.sum())
        return super().training_step(model, inputs, *args, **kwargs)


class Report(TrainerCallback):
    """Every loss goes to Ray Tune, and by its callback to MLflow."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        from ray import tune

        if "loss" in logs:
            tune.report({"loss": logs["loss"], "step": state.global_step})


def trial(config: dict[str, Any]) -> None:
    """Train and score at one rate; the last report has the figures."""
    from ray import tune

    began_s = time.perf_counter()
    load = Workload(**config["load"])
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration.from_pretrained(load.model)
    processor = AutoProcessor.from_pretrained(load.model)
    for name, parameter in model.named_parameters():
        trained = ("norm", "multi_modal_projector", "embed_tokens", "lm_head")
        parameter.requires_grad = "vision_tower" not in name and any(p in name for p in trained)
    pad_id = processor.tokenizer.pad_token_id
    trainer = Watched(
        model=model,
        args=_arguments(load, config["learning_rate"]),
        train_dataset=Conversations(load, processor),
        data_collator=lambda samples: collate(samples, pad_id),
        callbacks=[Report()],
    )
    train_began_s = time.perf_counter()
    trainer.train()
    train_s = time.perf_counter() - train_began_s
    score = cider(model.eval(), processor, load)
    tune.report(
        {
            "cider": score,
            "trial_s": time.perf_counter() - began_s,
            "tokens_per_s": trainer.useful / train_s,
            "padded_share": trainer.padded / (trainer.useful + trainer.padded),
            "waited_share": trainer.waited_s / train_s,
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
    )


def _arguments(load: Workload, learning_rate: float) -> TrainingArguments:
    return TrainingArguments(
        output_dir="out",
        per_device_train_batch_size=load.micro_batch_size,
        gradient_accumulation_steps=load.batch_size // load.micro_batch_size,
        max_steps=load.max_steps,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        dataloader_num_workers=1,
        remove_unused_columns=False,
        use_cpu=True,
        disable_tqdm=True,
    )


@torch.no_grad()
def cider(model: Any, processor: Any, load: Workload) -> float:
    """CIDEr x 100 of greedy captions of the split `val`."""
    items = json.loads(Path(load.select).read_text())["images"]
    items = [item for item in items if item["split"] == "val"][: load.num_select]
    prompt, said = chat(processor, CAPTION_PROMPT), []
    for start in range(0, len(items), BATCH):
        names = [item["filename"] for item in items[start : start + BATCH]]
        images = [Image.open(Path(load.select_images) / name).convert("RGB") for name in names]
        made = processor(images=images, text=[prompt] * len(images), return_tensors="pt")
        ids = model.generate(**made, max_new_tokens=load.max_new_tokens, do_sample=False)
        answers = ids[:, made["input_ids"].shape[1] :]
        said += processor.batch_decode(answers, skip_special_tokens=True)
    references = [[sentence["raw"] for sentence in item["sentences"]] for item in items]
    return statistics.fmean(CiderScorer(references).scores([" ".join(s.split()) for s in said]))


def main() -> None:
    """Search in the current folder; prints the figures of its trials as one line of JSON."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    folder, load = Path.cwd(), json.loads(Path(sys.argv[1]).read_text())
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name=load["name"]
    )
    results = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"learning_rate": tune.grid_search(list(load["rates"])), "load": load},
        tune_config=tune.TuneConfig(max_concurrent_trials=2),
        run_config=tune.RunConfig(
            name=load["name"], storage_path=str(folder / "runs"), verbose=0, callbacks=[callback]
        ),
    ).fit()
    if results.errors:
        sys.exit(str(results.errors[0]))
    found = [result.metrics | {"rate": result.config["learning_rate"]} for result in results]
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main()
