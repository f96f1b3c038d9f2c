"""What is learnt, seen and answered with each family of checkpoints is what a plain script has.

The plain script knows transformers alone: the checkpoint's own processor on all texts at once, its
own forward pass on pixels, its own ``generate``.
"""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.data.conversation import IGNORE
from lnt_core.data.images import open_rgb, opened_size
from lnt_core.data.samples import Sample
from lnt_core.errors import DataError
from lnt_core.evaluation.answering import greedy_answers
from lnt_core.models.features import FeatureStore
from lnt_core.training.answers import answer_loss
from tests.contracts.conftest import QUESTION
from tests.vlm_families import FAMILIES

pytestmark = pytest.mark.wide

FIXED = {"gemma3", "paligemma2", "idefics3", "smolvlm2"}
"""Families with equally many tokens of every image, or whose processor enlarges small ones."""


def test_what_is_learnt_is_the_answers_and_their_ends(family) -> None:
    conversations = family.base.conversations
    for sample, encoded in zip(family.samples, family.encoded(), strict=True):
        learnt = [label for label in encoded.labels if label != IGNORE]
        expected = [f"{answer}{conversations.end}" for _, answer in sample.turns]
        told = conversations.tokenizer.decode(learnt)
        blanks = " " if told.startswith(" ") else ""
        assert told == "".join(f"{blanks}{text}" for text in expected)


def test_a_system_turn_is_where_the_template_puts_it_and_not_learnt(family) -> None:
    conversations, sample = family.base.conversations, family.samples[0]
    instructed = conversations.encode(replace(sample, system="Be brief."))
    plain = conversations.encode(sample)
    assert conversations.takes_system == (FAMILIES[family.name].template is not None)
    if not conversations.takes_system:
        assert instructed == plain
        return
    learnt, usual = ([i for i in e.labels if i != IGNORE] for e in (instructed, plain))
    assert learnt == usual
    said = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]
    for question, answer in sample.turns:
        asked = [{"type": "text", "text": question.removeprefix("<image>\n")}]
        asked = [{"type": "image"}, *asked] if "<image>" in question else asked
        said += [{"role": "user", "content": asked}]
        said += [{"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    text = family.base.processor.apply_chat_template(said)
    begins = text.startswith(str(conversations.tokenizer.bos_token))
    told = family.base.processor(
        text=text,
        images=[Image.open(path) for path in sample.images],
        add_special_tokens=not begins,
    )
    assert instructed.input_ids.tolist() == list(told["input_ids"][0])


@torch.no_grad()
def test_ids_logits_and_the_loss_are_those_of_plain_transformers(family) -> None:
    from transformers import AutoModelForImageTextToText

    batch, theirs = family.batch(family.encoded()), family.plainly()
    assert torch.equal(batch.input_ids, theirs["input_ids"])
    plain = AutoModelForImageTextToText.from_pretrained(family.folder).eval()
    model = family.base.trial_copy()
    ours, seen = model(**batch.inputs(family.base.device)).logits, plain(**theirs).logits
    real = theirs["attention_mask"].bool()
    assert torch.allclose(ours[real], seen[real], atol=1e-5)
    count = int((batch.labels[:, 1:] != IGNORE).sum())
    loss = torch.nn.functional.cross_entropy(
        seen[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORE
    )
    assert answer_loss(model, batch, num_answer_tokens=count).item() == pytest.approx(loss.item())


@torch.no_grad()
def test_a_row_in_a_padded_batch_is_the_row_alone(family) -> None:
    model, rows = family.base.trial_copy(), family.encoded()
    together = model(**family.batch(rows).inputs(family.base.device)).logits
    for index, row in enumerate(rows):
        alone = model(**family.batch([row]).inputs(family.base.device)).logits[0]
        assert torch.allclose(alone, together[index, : len(row.input_ids)], atol=1e-5)


@torch.no_grad()
def test_answers_in_a_batch_are_those_of_plain_generation(family) -> None:
    from transformers import AutoModelForImageTextToText

    base, conversations = family.base, family.base.conversations
    prompts = [conversations.encode_prompt(QUESTION, [path]) for path in family.images]
    given = FeatureStore(base, max_bytes=0).get([(path,) for path in family.images])
    ours = greedy_answers(
        base.trial_copy(), prompts, given, conversations.tokenizer, max_new_tokens=8
    )
    plain = AutoModelForImageTextToText.from_pretrained(family.folder).eval()
    plain.generation_config = base.model.generation_config
    for path, prompt, answer in zip(family.images, prompts, ours, strict=True):
        pixels = {**base.pixels_of([Image.open(path)])}
        tokens = {"input_ids": prompt.input_ids, **prompt.extras}
        tensors = {key: torch.tensor([row]) for key, row in tokens.items()}
        done = plain.generate(**tensors, **pixels, max_new_tokens=8)[0, len(prompt.input_ids) :]
        assert answer == conversations.tokenizer.decode(done, skip_special_tokens=True)


def test_a_text_with_the_placeholder_of_an_image_is_refused(family) -> None:
    token = family.base.conversations.image_token
    sample = Sample(family.images[:1], ((f"<image>\nWhat is {token}?", "A word."),))
    with pytest.raises(DataError, match="the image token"):
        family.base.conversations.encode(sample)


def test_an_image_beyond_the_cut_is_refused(family) -> None:
    """The plain processor cuts it, and the model then fails."""
    conversations = family.base.conversations
    late = Sample(family.images[:1], (("Hi?", "Hello."), ("<image>\nWhat?", "A cat.")))
    if FAMILIES[family.name].template is None:
        with pytest.raises(DataError, match="learns from one question"):
            conversations.encode(late)
        return
    ids = conversations.encode(late).input_ids
    last = max(at for at, token in enumerate(ids) if token == conversations.image_id)
    assert conversations.encode(late, max_length=last + 1).is_learnt
    with pytest.raises(DataError, match=f"an image beyond its first {last} tokens"):
        conversations.encode(late, max_length=last)


def test_fewer_pixels_are_fewer_tokens_as_the_plan_counts_them(family) -> None:
    """Where a processor makes as many of an image as it is large; never more."""
    conversations, path = family.base.conversations, family.images[0]
    opening = Opening(max_pixels=28 * 28)
    smaller = replace(conversations, opening=opening)
    tokens = [
        c.encode_prompt(QUESTION, [path]).input_ids.count(c.image_id)
        for c in (conversations, smaller)
    ]
    planned = [c.tokens_of([opened_size(path, c.opening)])[0] for c in (conversations, smaller)]
    told = [
        c.encode_prompt(QUESTION, [open_rgb(path, c.opening)]).input_ids.count(c.image_id)
        for c in (conversations, smaller)
    ]
    assert tokens == told
    assert tokens[1] < tokens[0] or family.name in FIXED
    assert (planned[0] - planned[1] > 0) == (tokens[0] > tokens[1])
