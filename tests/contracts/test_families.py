"""Language models as people have them: composed, with the traits of their tokenizers."""

from pathlib import Path

import pytest
import torch

from lnt_core.config import ModelConfig, TrialConfig
from lnt_core.data.conversation import IGNORE
from lnt_core.data.samples import Sample
from lnt_core.errors import ConfigError
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.training.answers import answer_loss
from lnt_core.training.batches import collate
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from sweeps.config import SweepConfig
from sweeps.plan.checks import check_sweep
from tests.families import FAMILIES, save_language_model
from tests.parts import TRAIN

pytestmark = pytest.mark.wide

TURNS = (
    ("<image>\nWhat is there?", "A large red circle."),
    ("Where?", "On the left:\nbeside é 狗."),
    ("And?", "No more."),
)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request, parts, tmp_path_factory):
    """A base of a family on the tests' CLIP tower, with its name and folder."""
    folder = tmp_path_factory.mktemp(request.param)
    language = save_language_model(request.param, folder / "language")
    model = {"language_model": language, "vision_tower": parts[1]}
    config = ModelConfig(**model, conversation=FAMILIES[request.param].style)
    torch.manual_seed(0)
    return request.param, language, load_base(config, cache=folder)


def plain_text(name: str, language: str) -> str:
    """The conversation in transformers' or LLaVA's own words."""
    from transformers import AutoTokenizer

    family, tokenizer = FAMILIES[name], AutoTokenizer.from_pretrained(language)
    if family.style == "chat_template":
        messages = [
            {"role": role, "content": text}
            for turn in TURNS
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        return tokenizer.apply_chat_template(messages, tokenize=False)
    end, begin = tokenizer.eos_token, tokenizer.bos_token
    if family.style == "plain":
        return "".join(f"{q}\n{a}{end}" for q, a in TURNS)
    if family.style == "vicuna_v1":
        return (
            "A chat between a curious human and an artificial intelligence assistant. The "
            "assistant gives helpful, detailed, and polite answers to the human's questions. "
        ) + "".join(f"USER: {q} ASSISTANT: {a}{end}" for q, a in TURNS)
    system = (
        "<<SYS>>\nYou are a helpful language and vision assistant. You are able to understand the "
        "visual content that the user provides, and assist the user with a variety of tasks using "
        "natural language.\n<</SYS>>\n\n"
    )
    (first, answer), *later = TURNS
    text = f"[INST] {system}{first} [/INST] {answer} {end}"
    return text + "".join(f"{begin}[INST] {q} [/INST] {a} {end}" for q, a in later)


def plain_ids(name: str, language: str) -> list[int]:
    """Its ids by a tokenizer that knows nothing of us but the image token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    text = plain_text(name, language).replace("<image>", "<image>" * 16)
    bos = tokenizer.bos_token
    return tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]


def test_ids_are_those_of_plain_transformers(family, scenes) -> None:
    name, language, base = family
    encoded = base.conversations.encode(Sample((_image(scenes),), TURNS))
    assert list(encoded.input_ids) == plain_ids(name, language)


def test_the_learnt_ids_are_the_answers_and_their_ends(family, scenes) -> None:
    name, _, base = family
    encoded = base.conversations.encode(Sample((_image(scenes),), TURNS))
    learnt, runs = [], []
    for label in (*encoded.labels, IGNORE):
        if label != IGNORE:
            learnt.append(label)
        elif learnt:
            runs.append(base.conversations.tokenizer.decode(learnt).strip(" "))
            learnt = []
    blank = " " if name.startswith("llama2") else ""
    assert runs == [f"{answer}{blank}{base.conversations.end}" for _, answer in TURNS]


def test_no_token_of_text_or_padding_is_the_image_token(family, scenes) -> None:
    _, _, base = family
    tokenizer, image_id = base.conversations.tokenizer, base.model.config.image_token_id
    assert tokenizer.pad_token_id != image_id
    assert image_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id)
    encoded = base.conversations.encode(Sample((_image(scenes),), TURNS))
    assert encoded.input_ids.count(image_id) == 16


def test_a_row_in_a_padded_batch_is_the_row_alone(family, scenes) -> None:
    _, _, base = family
    long = base.conversations.encode(Sample((_image(scenes),), TURNS))
    short = base.conversations.encode(Sample((_image(scenes),), TURNS[:1]))
    pad = int(base.conversations.tokenizer.pad_token_id)
    store = FeatureStore(base, max_bytes=0)
    model = base.trial_copy()
    both, alone = (collate(rows, pad_id=pad, store=store) for rows in ([short, long], [short]))
    with torch.no_grad():
        logits = [
            model(**batch.inputs(base.device)).logits[0, : len(short.input_ids)]
            for batch in (both, alone)
        ]
    assert torch.allclose(*logits, atol=1e-5)


def test_the_first_loss_is_that_of_plain_transformers(family, scenes) -> None:
    """The language model alone, fed embeddings, knows nothing of image tokens."""
    from transformers import AutoModelForCausalLM

    _, language, base = family
    encoded = base.conversations.encode(Sample((_image(scenes),), TURNS))
    store = FeatureStore(base, max_bytes=0)
    batch = collate([encoded], pad_id=0, store=store)
    num_answers = sum(label != IGNORE for label in encoded.labels)
    ours = answer_loss(base.trial_copy(), batch, num_answer_tokens=num_answers)
    plain = AutoModelForCausalLM.from_pretrained(language).eval()
    ids, labels = batch.input_ids, batch.labels
    images = ids == base.model.config.image_token_id
    projector = base.model.get_submodule(*base.roles.connector)
    with torch.no_grad():
        embedded = plain.get_input_embeddings()(ids.masked_fill(images, 0))
        embedded[images] = projector(batch.images["pixel_values"])[0]
        theirs = plain(inputs_embeds=embedded, labels=labels).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_decoding_is_greedy_and_ends_at_every_end_of_the_model(family) -> None:
    name, _, base = family
    generation, tokenizer = base.model.generation_config, base.conversations.tokenizer
    ends = torch.tensor(generation.eos_token_id).flatten().tolist()
    wanted = {*FAMILIES[name].ends, tokenizer.eos_token, base.conversations.end}
    assert {tokenizer.convert_ids_to_tokens(end) for end in ends} == wanted
    inherited = ("repetition_penalty", "no_repeat_ngram_size", "top_k", "top_p", "temperature")
    assert {getattr(generation, key) for key in inherited} == {None}
    assert not generation.do_sample


def _image(scenes):
    from lnt_core.data.samples import load_samples

    return load_samples(scenes.tune, seed=0)[0].images[0]


@pytest.mark.heavy
def test_trials_train_and_score(family, parts, scenes, tmp_path) -> None:
    name, language, _ = family
    worker = Worker(tmp_path / "cache")
    for strategy in ("layernorm", "lora"):
        config = TrialConfig.model_validate(
            {
                "model": {
                    "language_model": language,
                    "vision_tower": parts[1],
                    "conversation": FAMILIES[name].style,
                },
                "data": scenes,
                "align": {"max_steps": 2, "batch_size": 4, "micro_batch_size": 4},
                "strategy": {"name": strategy},
                "learning_rate": 1e-3,
                "train": TRAIN,
            }
        )
        result = run_trial(
            config, out=tmp_path / strategy, report=lambda step, metrics: None, worker=worker
        )
        assert result.status == "finished"
        assert result.metrics["select/cider"] >= 0


def test_a_template_with_the_date_is_refused_before_ray_starts(micro, parts, tmp_path) -> None:
    language = Path(save_language_model("llama3", tmp_path / "language"))
    file = language / "chat_template.jinja"
    file.write_text("{{ strftime_now('%d %b %Y') }}" + file.read_text())
    model = {
        "language_model": str(language),
        "vision_tower": parts[1],
        "conversation": "chat_template",
    }
    with pytest.raises(ConfigError, match="the model's template writes the date of today"):
        check_sweep(SweepConfig.model_validate(micro | {"model": model}))
