"""LLaVA-1.5 as transformers publishes it: its layout, its processor, its own chat template."""

import pytest
import torch
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.conversation import IGNORE
from lnt_core.data.samples import Sample, load_samples
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.training.answers import answer_loss
from lnt_core.training.batches import collate

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': '}}{% endif %}{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""`chat_template.json` of llava-hf/llava-1.5-7b-hf on the Hugging Face Hub."""
TURNS = (("<image>\nWhat is there?", "A large red circle."), ("Where?", "On sand."))


@pytest.fixture(scope="module")
def llava(checkpoint, tmp_path_factory):
    """The folder of a tiny LLaVA-1.5 with the published template, and what it inherits."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = tmp_path_factory.mktemp("llava")
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 2
    model.save_pretrained(folder)
    processor = AutoProcessor.from_pretrained(checkpoint)
    processor.chat_template = TEMPLATE
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def base(llava, tmp_path_factory):
    return load_base(
        ModelConfig(checkpoint=llava, conversation="chat_template"),
        cache=tmp_path_factory.mktemp("cache"),
    )


@pytest.fixture
def image(scenes):
    return load_samples(scenes.tune, seed=0)[0].images[0]


def messages(turns):
    """As transformers' documentation writes them."""
    made = []
    for question, answer in turns:
        image = [{"type": "image"}] if "<image>" in question else []
        text = {"type": "text", "text": question.removeprefix("<image>\n")}
        made.append({"role": "user", "content": [*image, text]})
        if answer is not None:
            made.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return made


def test_the_prompt_is_that_of_transformers(llava, base, image) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(llava)
    text = processor.apply_chat_template(
        messages([(TURNS[0][0], None)]), add_generation_prompt=True
    )
    theirs = processor(text=text, images=Image.open(image), return_tensors="pt")["input_ids"][0]
    assert (
        list(base.conversations.encode_prompt("What is there?", [image]).input_ids)
        == theirs.tolist()
    )
    assert theirs[0] == processor.tokenizer.bos_token_id


def test_answers_are_learnt_with_the_end_that_the_template_lacks(base, image) -> None:
    encoded = base.conversations.encode(Sample((image,), TURNS))
    tokenizer = base.conversations.tokenizer
    learnt = [label for label in encoded.labels if label != IGNORE]
    assert tokenizer.decode(learnt) == " A large red circle.</s> On sand.</s>"
    whole = tokenizer.decode(encoded.input_ids).replace("<image>" * 16, "<image>")
    assert whole == (
        "<s>USER: <image>\nWhat is there? ASSISTANT: A large red circle.</s> USER: Where? "
        "ASSISTANT: On sand.</s> "
    )


def test_the_added_end_is_told(llava, tmp_path, caplog) -> None:
    load_base(ModelConfig(checkpoint=llava, conversation="chat_template"), cache=tmp_path)
    assert "has no end token after an answer: </s> is added" in caplog.text


def test_the_first_loss_is_that_of_plain_transformers(llava, base, image) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    encoded = base.conversations.encode(Sample((image,), TURNS))
    batch = collate([encoded], pad_id=0, store=FeatureStore(base, max_bytes=0))
    count = sum(label != IGNORE for label in encoded.labels)
    ours = answer_loss(base.trial_copy(), batch, num_answer_tokens=count)
    processor = AutoProcessor.from_pretrained(llava)
    pixels = processor.image_processor(Image.open(image), return_tensors="pt")["pixel_values"]
    plain = AutoModelForImageTextToText.from_pretrained(llava).eval()
    with torch.no_grad():
        theirs = plain(input_ids=batch.input_ids, pixel_values=pixels, labels=batch.labels).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_a_model_that_should_stop_stops_and_nothing_is_inherited(base, image) -> None:
    """Trained on two images until it knows their captions; one repeats its words."""
    turns = {image: "A red circle, a red circle."}
    samples = [
        base.conversations.encode(Sample((i,), ((TURNS[0][0], a),))) for i, a in turns.items()
    ]
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    batch = collate(samples, pad_id=0, store=store)
    count = int((batch.labels != IGNORE).sum())
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        answer_loss(model, batch, num_answer_tokens=count).backward()
        optimizer.step()
    captions = greedy_answers(
        model.eval(),
        [base.conversations.encode_prompt("What is there?", [image])],
        store.get([(image,)]),
        base.conversations.tokenizer,
        max_new_tokens=64,
    )
    assert [caption.strip() for caption in captions] == ["A red circle, a red circle."]
