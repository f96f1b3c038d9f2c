"""The loss on held-out conversations."""

import math

import pytest
import torch

from lnt_core.config import LossConfig
from lnt_core.data.conversation import IGNORE
from lnt_core.errors import DataError, TrialError
from lnt_core.evaluation import held_out as held_out_module
from lnt_core.evaluation.held_out import HeldOut
from lnt_core.evaluation.tasks import HeldOutLoss
from lnt_core.models.features import FeatureStore
from lnt_core.training.answers import answer_loss
from lnt_core.training.batches import collate


def held_out(base, scenes, *, max_length: int = 512, **options) -> HeldOut:
    files = scenes.select.model_dump(include={"annotations", "images"})
    task = HeldOutLoss(LossConfig(task="loss", **files, **options))
    return HeldOut(task, "select", base.conversations, max_length=max_length)


def test_it_is_the_loss_of_training_whatever_the_batch(base, scenes) -> None:
    """The oracle: the training's loss of all conversations as one batch of samples one by one."""
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    tasks = [held_out(base, scenes, batch_size=size) for size in (1, 3, 64)]
    losses = [task.evaluate(model, store).score for task in tasks]
    samples = [base.conversations.encode(sample) for sample in tasks[0].task.samples]
    count = sum(label != IGNORE for sample in samples for label in sample.labels[1:])
    assert len({len(sample.input_ids) for sample in samples}) > 2
    with torch.no_grad():
        expected = math.fsum(
            answer_loss(
                model, collate([one], pad_id=0, store=store), num_answer_tokens=count
            ).item()
            for one in samples
        )
    assert losses == pytest.approx([expected] * 3, rel=1e-6)


def test_the_contributions_have_the_loss_as_their_mean(base, scenes) -> None:
    store = FeatureStore(base, max_bytes=2**20)
    found = held_out(base, scenes).evaluate(base.trial_copy(), store)
    nats, tokens = (sum(row[key] for row in found.rows) for key in ("nats", "tokens"))
    assert found.summary == {"loss": nats / tokens}
    mean = math.fsum(row["contribution"] for row in found.rows) / len(found.rows)
    assert mean == pytest.approx(found.score, abs=1e-9)


def test_the_ends_of_answers_count_as_they_do_in_training(base, scenes) -> None:
    tokens = {
        length: sum(row["tokens"] for row in _rows(base, scenes, length)) for length in (40, 512)
    }
    assert 0 < tokens[40] < tokens[512]


def _rows(base, scenes, length: int):
    store = FeatureStore(base, max_bytes=2**20)
    return held_out(base, scenes, max_length=length).evaluate(base.trial_copy(), store).rows


def test_a_conversation_without_an_answer_is_refused(base, scenes) -> None:
    with pytest.raises(DataError, match="have no answer in their first 5 tokens"):
        held_out(base, scenes, max_length=5)


def test_out_of_memory_the_batch_is_halved_and_the_loss_is_the_same(
    base, scenes, monkeypatch, caplog
) -> None:
    store, model = FeatureStore(base, max_bytes=2**20), base.trial_copy()
    task = held_out(base, scenes, batch_size=8)
    undisturbed = task.evaluate(model, store).score
    real, sizes = held_out_module.answer_nats, []

    def hungry(model, batch, **options):
        sizes.append(len(batch.labels))
        if len(batch.labels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, batch, **options)

    monkeypatch.setattr(held_out_module, "answer_nats", hungry)
    assert task.evaluate(model, store).score == pytest.approx(undisturbed, rel=1e-6)
    assert sizes[:4] == [8, 4, 2, 2]
    assert task.batch_size == 2
    assert "select ran out of memory with 8 questions at once; going on with 4" in caplog.text


def test_a_loss_that_is_no_number_is_an_error(base, scenes) -> None:
    task = held_out(base, scenes)
    with pytest.raises(TrialError, match="loss is nan, which is no score"):
        task.task.score_nats([math.nan], [1])
