"""Captioning in batches."""

import logging

import pytest
import torch

from lnt_core.config import CaptioningConfig
from lnt_core.evaluation import answering
from lnt_core.evaluation.answering import Answering
from lnt_core.evaluation.tasks import Captioning, Scored
from lnt_core.models.features import FeatureStore
from tests.lnt_core.strategies.trained import options, trained


class Counted(Captioning):
    """Scores captions by their lengths, which takes no start of Java, as CIDEr does."""

    def score(self, answers) -> Scored:
        lengths = tuple(float(len(answer)) for answer in answers)
        return Scored({self.main: sum(lengths)}, lengths, lengths)


def prepared(select, base) -> Answering:
    return Answering(Counted(select, "val"), "select", base.conversations, seed=0)


@pytest.mark.parametrize("name", ["prefix", "prompt", "adapter_serial", "adapter_parallel"])
def test_captions_in_a_batch_are_those_one_by_one(name, base, scenes) -> None:
    select = CaptioningConfig.model_validate(
        scenes.select.model_dump() | {"split": "val", "max_new_tokens": 8}
    )
    model, store = trained(base, scenes, options(name)), FeatureStore(base, max_bytes=2**20)
    captions = {}
    for size in (1, 4):
        task = prepared(select.model_copy(update={"batch_size": size}), base)
        captions[size] = task.evaluate(model, store).rows
    assert captions[1] == captions[4]
    untuned = prepared(select, base)
    assert untuned.evaluate(base.trial_copy(), store).rows != captions[4]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_the_batch_is_halved_and_stays_so_for_the_next_trial(
    error, base, scenes, monkeypatch, caplog
) -> None:
    select = scenes.select.model_copy(update={"batch_size": 4, "max_new_tokens": 4})
    task = prepared(select, base)
    model, store = base.trial_copy(), FeatureStore(base, max_bytes=2**20)
    undisturbed = task.evaluate(model, store)
    sizes = fits_two_at_once(monkeypatch, error)
    with caplog.at_level(logging.WARNING):
        assert task.evaluate(model, store) == undisturbed
    assert sizes[:3] == [4, 2, 2]
    assert "select ran out of memory with 4 questions at once; going on with 2" in caplog.text
    tried = len(sizes)
    task.evaluate(model, store)
    assert set(sizes[tried:]) == {2}
    assert task.batch_size == 2


def fits_two_at_once(monkeypatch, error: Exception) -> list[int]:
    """Memory for two images; returns a list to which the size of every batch is added."""
    real, sizes = answering.greedy_answers, []

    def hungry(model, prompts, *args, **options):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise error
        return real(model, prompts, *args, **options)

    monkeypatch.setattr(answering, "greedy_answers", hungry)
    return sizes


def test_other_processes_begin_with_the_batch_that_fits(
    base, scenes, monkeypatch, tmp_path, caplog
) -> None:
    select = scenes.select.model_copy(update={"batch_size": 4, "max_new_tokens": 4})
    model, store = base.trial_copy(), FeatureStore(base, max_bytes=2**20)
    sizes = fits_two_at_once(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))

    def evaluated() -> list[int]:
        """In another process than the one before, which shares only a file with it."""
        sizes.clear()
        task = prepared(select, base)
        task.told_in = tmp_path / "captioning.json"
        task.evaluate(model, store)
        return list(sizes)

    assert evaluated() == [4, 2, 2]
    assert evaluated() == [2, 2]
    (tmp_path / "captioning.json").write_text("{")
    assert evaluated() == [4, 2, 2]
    assert "tasks begin with their batch_size again" in caplog.text
    assert evaluated() == [2, 2]


def test_a_single_image_that_does_not_fit_is_an_error(base, scenes, monkeypatch) -> None:
    def hungry(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    task = prepared(scenes.select, base)
    monkeypatch.setattr(answering, "greedy_answers", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        task.evaluate(base.trial_copy(), FeatureStore(base, max_bytes=2**20))
    assert task.batch_size == 1
