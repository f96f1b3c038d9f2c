"""The model card: Hugging Face's own library reads it, and it says what is in the folder."""

import pytest
from PIL import Image

from lnt_core.config import RateRatio
from sweeps.export.best import BestConfig
from sweeps.export.model_card import model_card
from sweeps.resources import ResourcesConfig
from sweeps.results.selection import Sweep, Trial
from sweeps.storage.format import FORMAT

TRIAL = Trial("r", "t", "lora", 1e-3, "finished", 12.5, 11.0, 10, 0.1)
SWEEP = Sweep("s", "p", "FINISHED", 3.0, "select/cider on flickr30k val", (TRIAL,))


def card_of(config, out) -> str:
    best = BestConfig(
        format=FORMAT,
        sweep="s",
        run_id="r",
        metric=SWEEP.metric,
        score=12.5,
        resources=ResourcesConfig(),
        trial=config,
    )
    return model_card(SWEEP, TRIAL, best, out)


def test_hugging_face_reads_its_results(trial_config, scenes, tmp_path) -> None:
    from huggingface_hub import ModelCard

    (tmp_path / "adapter_config.json").touch()
    card = ModelCard(card_of(trial_config(strategy={"name": "lora"}), tmp_path))
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "image-text-to-text"
    found = {r.dataset_split: (r.task_type, r.metric_value) for r in card.data.eval_results}
    assert found == {"val": ("image-to-text", 12.5), "test": ("image-to-text", 11.0)}
    assert {r.dataset_type for r in card.data.eval_results} == {scenes.select.task}


def test_folders_of_this_machine_are_not_told(trial_config, parts, tmp_path) -> None:
    text = card_of(trial_config(strategy={"name": "lora"}), tmp_path)
    assert "- language\n- vision\n" in text
    assert parts[0] not in text


@pytest.mark.parametrize(
    ("made", "said", "unsaid"),
    [
        ("merged", "AutoModelForImageTextToText", "PeftModel"),
        ("adapter_config.json", "PeftModel", "AutoModelForImageTextToText"),
        ("curve.png", "![CIDEr over the learning rate](curve.png)", "PeftModel"),
    ],
)
def test_it_tells_of_what_is_there(made, said, unsaid, trial_config, tmp_path) -> None:
    (tmp_path / made).mkdir() if made == "merged" else (tmp_path / made).touch()
    text = card_of(trial_config(strategy={"name": "lora"}), tmp_path)
    assert said in text
    assert unsaid not in text


@pytest.mark.parametrize("exif_orientation", [True, False])
def test_its_code_opens_images_as_the_trial_did(exif_orientation, trial_config, tmp_path) -> None:
    (tmp_path / "merged").mkdir()
    config = trial_config(strategy={"name": "lora"})
    data = config.data.model_copy(update={"exif_orientation": exif_orientation})
    text = card_of(config.model_copy(update={"data": data}), tmp_path)
    assert ("ImageOps" in text) == exif_orientation
    assert ('image = Image.open("image.jpg").convert("RGB")' in text) != exif_orientation


def test_rates_that_other_trainers_files_cannot_say_are_told(trial_config, tmp_path) -> None:
    config = trial_config(strategy={"name": "lora"})
    assert "rate_ratio" not in card_of(config, tmp_path)
    train = config.train.model_copy(update={"rate_ratio": RateRatio(connector=0.1)})
    text = card_of(config.model_copy(update={"train": train}), tmp_path)
    assert "The files for other trainers have one learning rate, 0.001." in text
    assert "connector was trained at 0.1 of it, word embedding and output head at 1 " in text


def test_its_code_scales_images_as_the_trial_did(trial_config, tmp_path) -> None:
    (tmp_path / "merged").mkdir()
    config = trial_config(strategy={"name": "lora"})
    assert "resize" not in card_of(config, tmp_path)
    data = config.data.model_copy(update={"max_pixels": 1000})
    text = card_of(config.model_copy(update={"data": data}), tmp_path)
    lines = [line for line in text.splitlines() if line.startswith(("scale = ", "size = "))]
    found = {"image": Image.new("RGB", (100, 40))}
    exec("\n".join(lines), found)
    assert found["size"] == data.opening.size_of(100, 40)
