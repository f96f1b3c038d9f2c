"""A sweep file for each family of vision-language checkpoints: checked, planned, trained, scored.

Its trials run here, without Ray, which knows nothing of models (tests/e2e has that).
"""

from dataclasses import replace

import pytest
import yaml

from lnt_core.accounting.answers import usable_samples
from lnt_core.config import DatasetConfig, ModelConfig
from lnt_core.config.opening import Opening
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.samples import load_samples
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep
from sweeps.plan.planned import plan
from sweeps.plan.trials import trials
from tests.vlm_families import FAMILIES

pytestmark = pytest.mark.heavy
STEPS = 2


def test_images_within_a_table_are_cut_and_counted_without_their_files(family, tmp_path) -> None:
    """By their sizes: neither what is in them nor a file of them is needed for a plan."""
    import datasets

    asked = [
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "<image>\nWhat?"},
        {"role": "assistant", "content": "A cat."},
    ]
    takes_one_question = FAMILIES[family.name].template is None
    if takes_one_question:  # after its image: a cut leaves no answer
        asked = asked[2:]
    stored = [[{"bytes": path.read_bytes(), "path": None}] for path in family.images]
    images = datasets.Features(
        {
            "messages": [{"role": datasets.Value("string"), "content": datasets.Value("string")}],
            "images": datasets.List(datasets.Image()),
        }
    )
    rows = [{"messages": asked, "images": image} for image in stored]
    table = tmp_path / "rows.parquet"
    datasets.Dataset.from_list(rows, features=images).to_parquet(table)
    sizes, data = ImageSizes(Opening()), DatasetConfig(annotations=str(table))
    samples = load_samples(data, seed=0, keep=sizes.keep(data))
    whole = [
        family.base.conversations.encode(replace(sample, images=(path,)))
        for sample, path in zip(samples, family.images, strict=True)
    ]
    image_id = family.base.conversations.image_id
    ends = [max(at for at, i in enumerate(e.input_ids) if i == image_id) + 1 for e in whole]
    model = ModelConfig(checkpoint=family.folder)
    for max_length in (min(ends) - 1, max(ends)):
        usable = usable_samples(model, samples, max_length=max_length, sizes=sizes)
        lost = [s.name for s, end in zip(samples, ends, strict=True) if end > max_length]
        found = usable.without_image
        if takes_one_question:
            lost = [s.name for s in samples]
            found = usable.cut_off
        assert [sample.name for sample in found] == lost


def test_the_trials_of_a_sweep_file_train_and_score_as_planned(family, scenes, tmp_path) -> None:
    files = {"annotations": scenes.tune.annotations, "images": scenes.tune.images}
    select = files | {"task": "flickr8k", "split": "val", "report_split": None, "max_new_tokens": 4}
    content = {
        "name": "family",
        "model": {"checkpoint": family.folder},
        "data": {"tune": files, "select": select},
        "search": {"strategy": ["layernorm", "lora"], "learning_rate": [1e-3]},
        "train": {"max_steps": STEPS, "batch_size": 4, "micro_batch_size": 2, "analyse": False},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(str(tmp_path / "sweep.yaml"))
    assert check_sweep(sweep) == []
    costs = {trial.strategy: trial.cost for trial in plan(sweep).trials}
    worker = Worker(tmp_path / "cache")
    for trial in trials(sweep):
        losses: dict[int, float] = {}

        def report(step: int, metrics: dict[str, float], seen=losses) -> None:
            seen |= {step: metrics["train/loss"]} if "train/loss" in metrics else {}

        result = run_trial(trial.config, out=tmp_path / trial.id, report=report, worker=worker)
        assert result.status == "finished"
        assert list(losses) == list(range(1, STEPS + 1))
        assert result.metrics["select/cider"] >= 0
        planned = costs[trial.config.strategy.name].trainable_parameters
        assert result.metrics["params/trainable"] == planned
