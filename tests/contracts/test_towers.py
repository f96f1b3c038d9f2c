"""Vision towers as people have them: composed, with the traits of their image processors."""

import copy
from dataclasses import replace

import pytest
import torch
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.samples import Sample
from lnt_core.errors import ConfigError
from lnt_core.models.build import build_on_meta, load_base, load_conversations, num_image_tokens
from lnt_core.models.plain import save_plain
from sweeps.config import SweepConfig
from sweeps.plan.checks import check_sweep
from tests.images import features
from tests.towers import NAFLEX, TOWERS, save_tower

pytestmark = pytest.mark.wide

TURNS = (("<image>\nWhat is there?", "A large red circle."),)


@pytest.fixture(scope="module", params=TOWERS)
def composed(request, parts, tmp_path_factory):
    """A tower, its folder, the config of a model composed with it, and that model."""
    folder = tmp_path_factory.mktemp(request.param)
    vision = save_tower(TOWERS[request.param], folder / "vision")
    config = ModelConfig(language_model=parts[0], vision_tower=vision, conversation="plain")
    torch.manual_seed(0)
    return TOWERS[request.param], vision, config, load_base(config, cache=folder)


def photographs(folder):
    """Two that are not square, as most are not."""
    paths = [folder / "wide.png", folder / "high.png"]
    for path, size in zip(paths, ((90, 60), (60, 90)), strict=True):
        noise = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(path)
    return paths


@torch.no_grad()
def plain_logits(composed, path, ids):
    """By a script that knows nothing of us but the connector and the image token."""
    from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM

    tower, vision, config, base = composed
    model = AutoModel.from_pretrained(vision).eval()
    pixels = AutoImageProcessor.from_pretrained(vision)(Image.open(path), return_tensors="pt")
    encoder = model.vision_model if tower.within else model
    states = encoder(pixels["pixel_values"], output_hidden_states=True).hidden_states[-2]
    language = AutoModelForCausalLM.from_pretrained(config.language_model).eval()
    images = ids == base.model.config.image_token_id
    embedded = language.get_input_embeddings()(ids.masked_fill(images, 0))
    connector = base.model.get_submodule(*base.roles.connector)
    embedded[images] = connector(states[0, tower.num_first :])
    return language(inputs_embeds=embedded).logits


def test_an_image_has_as_many_tokens_as_its_tower_gives(composed) -> None:
    tower, _, config, base = composed
    whole = build_on_meta(config)
    assert base.conversations.num_image_tokens == tower.num_patches
    assert base.num_dropped == tower.num_first
    assert load_conversations(config).num_image_tokens == tower.num_patches
    assert num_image_tokens(config, whole.config.vision_config) == tower.num_patches


def test_logits_are_those_of_a_plain_script(composed, tmp_path) -> None:
    tower, *_, base = composed
    paths = photographs(tmp_path)
    ids = torch.tensor(
        [base.conversations.encode(Sample((path,), TURNS)).input_ids for path in paths]
    )
    seen = features(base, paths)
    assert seen.shape == (2, tower.num_patches, 32)
    with torch.no_grad():
        ours = base.trial_copy()(input_ids=ids, pixel_values=seen).logits
    theirs = torch.cat([plain_logits(composed, path, ids[[i]]) for i, path in enumerate(paths)])
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_merged_it_is_a_plain_llava(composed, tmp_path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    tower, *_, base = composed
    folder = tmp_path / "merged"
    model = copy.deepcopy(base.model)
    if tower.num_first > 1:
        with pytest.raises(ConfigError, match=r"drops one token .* has 5 \(class and registers\)"):
            save_plain(base, model, folder, max_new_tokens=4)
        return
    save_plain(base, model, folder, max_new_tokens=4)
    plain = AutoModelForImageTextToText.from_pretrained(folder).eval()
    path, _ = photographs(tmp_path)
    prompt = base.conversations.prompt_text("What is there?")
    inputs = AutoProcessor.from_pretrained(folder)(
        images=Image.open(path), text=prompt, return_tensors="pt"
    )
    ids = torch.tensor([base.conversations.encode_prompt("What is there?", [path]).input_ids])
    assert inputs["input_ids"].tolist() == ids.tolist()
    with torch.no_grad():
        theirs = plain(**inputs).logits
        ours = base.trial_copy()(input_ids=ids, pixel_values=features(base, [path])).logits
    assert torch.allclose(theirs[..., : ours.shape[-1]], ours, atol=1e-5)


def test_a_tower_of_variable_resolution_is_refused(parts, tmp_path) -> None:
    vision = save_tower(NAFLEX, tmp_path / "vision")
    config = ModelConfig(language_model=parts[0], vision_tower=vision, conversation="plain")
    message = r"gives each image a number of patches of its own, .* fixed resolution"
    for load in (lambda: load_base(config, cache=tmp_path), lambda: load_conversations(config)):
        with pytest.raises(ConfigError, match=message):
            load()


def test_a_processor_that_keeps_the_aspect_ratio_is_refused(parts, tmp_path) -> None:
    dino = TOWERS["dinov2"]
    uncropped = replace(dino, processor=dino.processor | {"do_center_crop": False})
    vision = save_tower(uncropped, tmp_path / "vision")
    config = ModelConfig(language_model=parts[0], vision_tower=vision, conversation="plain")
    with pytest.raises(ConfigError, match=r"BitImageProcessor.*, gives each image a size of"):
        load_base(config, cache=tmp_path)


def test_a_sweep_with_it_is_refused_before_ray_starts(micro, tmp_path) -> None:
    vision = save_tower(NAFLEX, tmp_path / "vision")
    model = micro["model"] | {"vision_tower": vision}
    with pytest.raises(ConfigError, match=r"model.vision_tower: its image processor, Siglip2"):
        check_sweep(SweepConfig.model_validate(micro | {"model": model}))
