"""Micro-batches that threads make ahead of the training."""

import threading

import pytest

from lnt_core.config import TrainConfig
from lnt_core.data.conversation import Encoded
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.training.loader import AHEAD, Loader, Loading
from lnt_core.training.loop import Hooks, train

CONFIG = TrainConfig(
    max_steps=20,
    batch_size=4,
    micro_batch_size=2,
    gradient_checkpointing=False,
    checkpoint_every_steps=1,
)


class StoppedError(Exception):
    """Raised from `report`, where a kill would strike."""


@pytest.fixture
def samples(base, scenes):
    return [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)]


def losses(base, samples, loading, *, checkpoint=None, stop_at=None) -> dict[int, str]:
    """The loss of each step, to the last digit."""
    strategy, found = get_strategy("layernorm"), {}
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)

    def report(step: int, metrics: dict[str, float]) -> None:
        if step == stop_at:
            raise StoppedError
        assert 0 <= metrics["train/data_wait_share"] <= 1
        found[step] = repr(metrics["train/loss"])

    train(
        model,
        samples,
        CONFIG,
        strategy=strategy,
        learning_rate=3e-3,
        seed=0,
        loading=loading,
        hooks=Hooks(report),
        checkpoint=checkpoint,
    )
    return found


def loaders() -> list[str]:
    """The threads that are there."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("lnt-loader")]


@pytest.fixture(scope="module")
def without_threads(base, scenes):
    samples = [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)]
    return losses(base, samples, Loading(FeatureStore(base, max_bytes=0), 0, workers=0))


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("max_bytes", [0, 2**20], ids=["computed", "kept"])
def test_no_digit_depends_on_threads_or_kept_features(
    base, samples, without_threads, workers, max_bytes
) -> None:
    store = FeatureStore(base, max_bytes=max_bytes)
    assert losses(base, samples, Loading(store, 0, workers)) == without_threads
    assert len(without_threads) == 20
    assert not loaders()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_run_that_is_stopped_goes_on_to_the_same_digits(
    base, samples, without_threads, tmp_path, workers
) -> None:
    loading, path = Loading(FeatureStore(base, max_bytes=2**20), 0, workers), tmp_path / "kept.pt"
    with pytest.raises(StoppedError):
        losses(base, samples, loading, checkpoint=path, stop_at=9)
    assert not loaders()
    after = losses(base, samples, loading, checkpoint=path)
    assert list(after) == list(range(9, 21))
    assert after == {step: without_threads[step] for step in after}


def test_micro_batches_are_made_before_they_are_due_and_features_by_the_training(
    base, samples, monkeypatch
) -> None:
    made, through, enough = [], [], threading.Event()
    pixels_of, through_tower = type(base).pixels_of, type(base).through_tower

    def told(self, images):
        made.append(threading.current_thread().name)
        if len(made) == AHEAD + 1:
            enough.set()
        return pixels_of(self, images)

    def by(self, pixels):
        through.append(threading.current_thread())
        return through_tower(self, pixels)

    monkeypatch.setattr(type(base), "pixels_of", told)
    monkeypatch.setattr(type(base), "through_tower", by)
    batches = [[sample] for sample in samples[:6]]
    with Loader(batches, Loading(FeatureStore(base, max_bytes=0), 0, workers=1), size=1) as loader:
        loader.next_share()
        loader.take()
        assert enough.wait(60), f"{len(made)} micro-batches were made, and one was asked for"
    assert all(name.startswith("lnt-loader") for name in made)
    assert set(through) == {threading.current_thread()}


def test_shares_and_micro_batches_come_in_order_and_end(base) -> None:
    batches = [[Encoded((step,) * n, (step,) * n) for n in (2, 5, 3)] for step in range(1, 4)]
    with Loader(batches, Loading(FeatureStore(base, max_bytes=0), 0), size=2) as loader:
        for step in range(1, 4):
            share = loader.next_share()
            assert (share.num_tokens, share.num_answer_tokens) == (10, 7)
            taken = [loader.take().input_ids.tolist() for _ in share.micro_batches]
            assert taken == [[[step] * 5], [[step] * 3, [step] * 2 + [0]]]
        with pytest.raises(IndexError):
            loader.next_share()


def test_an_image_that_is_gone_is_told_when_its_micro_batch_is_due(base, tmp_path) -> None:
    whole, gone = Encoded((1, 2), (1, 2)), Encoded((1, 2), (1, 2), (tmp_path / "gone.png",))
    loading = Loading(FeatureStore(base, max_bytes=2**20), 0, workers=1)
    with Loader([[whole], [gone]], loading, size=1) as loader:
        loader.next_share()
        loader.take()
        loader.next_share()
        with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
            loader.take()
    assert not loaders()
