"""The loop against the transformers Trainer, and its own promises."""

import functools
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lnt_core.config import TrainConfig
from lnt_core.data.samples import Sample, load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.training import batches, loader
from lnt_core.training import shares as cut
from lnt_core.training.batches import collate, sample_order
from lnt_core.training.checkpoints import step_of
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, LossMonitor, train

STEPS, BATCH, MICRO, RATE = 12, 4, 2, 3e-3
CONFIG = TrainConfig(
    max_steps=STEPS,
    batch_size=BATCH,
    micro_batch_size=MICRO,
    warmup_ratio=0.3,  # 3.6 steps, of which transformers makes 4
    gradient_checkpointing=False,
    checkpoint_every_steps=1,
)


class StoppedError(Exception):
    """Raised from `report`, where a kill would strike."""


def tunable(base, name: str = "layernorm", **options):
    """A model and the strategy applied to it."""
    strategy = get_strategy(name)
    torch.manual_seed(0)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config(**options))
    own_trainable(model)
    return model, strategy


def encoded(base, scenes):
    return [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)]


def run(
    base,
    scenes,
    config=CONFIG,
    *,
    name="layernorm",
    checkpoint=None,
    stop_at=None,
    stop_with=StoppedError,
    midway=None,
    losses=None,
    **options,
):
    """Train; returns the losses and how it ended. ``midway`` gets the model after every step.

    ``losses``: the list to append to, for a run that is stopped.
    """
    losses = [] if losses is None else losses

    def report(step: int, metrics: dict[str, float]) -> None:
        if step == stop_at:
            raise stop_with
        losses.append(metrics["train/loss"])

    model, strategy = tunable(base, name, **options)
    trained = train(
        model,
        encoded(base, scenes),
        config,
        strategy=strategy,
        learning_rate=RATE,
        seed=0,
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(report, after_step=None if midway is None else lambda step: midway(model)),
        checkpoint=checkpoint,
    )
    return losses, trained


@pytest.fixture(scope="module")
def usual(base, scenes):
    """Returns the losses of an undisturbed run and how it ended; each is trained once."""
    return functools.cache(
        lambda name="layernorm", **options: run(base, scenes, name=name, **options)
    )


def trainer_losses(base, scenes, name: str, out: Path) -> list[float]:
    """The same steps by the transformers Trainer, on the samples in our order."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    samples, store = encoded(base, scenes), FeatureStore(base, max_bytes=2**20)
    order = list(itertools.islice(sample_order(len(samples), seed=0), STEPS * BATCH))

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Losses(TrainerCallback):
        def __init__(self):
            self.losses = []

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" in logs:
                self.losses.append(logs["loss"])

    def to_inputs(chosen):
        batch = collate(chosen, pad_id=0, store=store)
        return batch.inputs(base.device) | {"labels": batch.labels}

    heard = Losses()
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=BATCH // MICRO,
        max_steps=STEPS,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(CONFIG.warmup_ratio * STEPS),
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    trainer = InOrder(
        model=tunable(base, name)[0],
        args=arguments,
        train_dataset=[samples[i] for i in order],
        data_collator=to_inputs,
        callbacks=[heard],
    )
    trainer.train()
    return heard.losses


@pytest.mark.golden
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "adalora"])
def test_losses_are_those_of_the_transformers_trainer(name, usual, base, scenes, tmp_path) -> None:
    ours, _ = usual(name)
    theirs = trainer_losses(base, scenes, name, tmp_path)
    assert ours == pytest.approx(theirs, rel=2e-4)  # sums in another order, and logs round
    assert len(set(ours)) == STEPS


def test_sorting_by_length_changes_only_the_order_of_summation(base, scenes, monkeypatch) -> None:
    config = CONFIG.model_copy(update={"max_steps": 20})
    by_length, _ = run(base, scenes, config)

    def as_drawn(chosen, *, size, **_):
        return [[chosen[i : i + size] for i in range(0, len(chosen), size)]]

    monkeypatch.setattr(cut, "shares", as_drawn)
    unsorted, _ = run(base, scenes, config)
    assert by_length == pytest.approx(unsorted, rel=1e-6)


@pytest.mark.parametrize("micro", [1, 4])
def test_the_micro_batch_does_not_change_the_loss(micro, usual, base, scenes) -> None:
    split, _ = run(base, scenes, CONFIG.model_copy(update={"micro_batch_size": micro}))
    assert split == pytest.approx(usual()[0], rel=1e-4)


def test_by_tokens_micro_batches_are_fuller_and_no_longer(base, scenes, monkeypatch) -> None:
    short = base.conversations.encode(Sample((), (("How many?", "Two."),)))
    of_both = [*encoded(base, scenes)[:4], *[short] * 4]
    monkeypatch.setitem(globals(), "encoded", lambda base, scenes: of_both)
    shapes, collated = [], batches.load_batch

    def noting(samples, **given):
        loaded = collated(samples, **given)
        shapes.append(loaded.tokens.input_ids.shape)
        return loaded

    monkeypatch.setattr(loader, "load_batch", noting)
    longest = max(len(sample.input_ids) for sample in of_both)
    few = CONFIG.model_copy(update={"batch_size": 8, "micro_batch_size": 1, "max_steps": 4})
    one_by_one, _ = run(base, scenes, few)
    assert {rows for rows, _ in shapes} == {1}
    shapes.clear()
    update = {"batch_size": 8, "micro_batch_size": 2, "micro_batch_by": "tokens"}
    by_tokens, _ = run(base, scenes, few.model_copy(update=update))
    assert by_tokens == pytest.approx(one_by_one, rel=1e-4)
    assert max(rows for rows, _ in shapes) > 2
    assert max(rows * tokens for rows, tokens in shapes) <= 2 * longest


def test_a_label_on_the_first_token_counts_for_nothing(usual, base, scenes, monkeypatch) -> None:
    """Nothing comes before it that could predict it."""

    def labelled_first(base, scenes, of=encoded):
        return [
            replace(sample, labels=[sample.input_ids[0], *sample.labels[1:]])
            for sample in of(base, scenes)
        ]

    expected, _ = usual()
    monkeypatch.setitem(globals(), "encoded", labelled_first)
    losses, _ = run(base, scenes)
    assert losses == pytest.approx(expected, rel=1e-6)


def test_gradient_checkpointing_does_not_change_the_loss(usual, base, scenes) -> None:
    lean, _ = run(base, scenes, CONFIG.model_copy(update={"gradient_checkpointing": True}))
    assert lean == pytest.approx(usual()[0], rel=1e-5)


@pytest.mark.parametrize("name", ["lora", "adalora", "adapter_serial", "prefix"])
def test_a_run_resumed_again_and_again_is_the_uninterrupted_one_bit_for_bit(
    name, usual, base, scenes, tmp_path
) -> None:
    options = {"dropout": 0.5} if name == "lora" else {}  # what is drawn goes on as well
    whole, undisturbed = usual(name, **options)
    done = 0
    for stop_at in (1, 2, 5, 9, STEPS):
        stopped: list[float] = []
        with pytest.raises(StoppedError):
            run(
                base,
                scenes,
                name=name,
                checkpoint=tmp_path / "c.pt",
                stop_at=stop_at,
                losses=stopped,
                **options,
            )
        assert stopped == whole[done : stop_at - 1], stop_at
        done = stop_at - 1
    rest, resumed = run(base, scenes, name=name, checkpoint=tmp_path / "c.pt", **options)
    assert rest == whole[done:]
    assert resumed.final_loss == undisturbed.final_loss


@pytest.mark.parametrize("asked", [KeyboardInterrupt, SystemExit])
def test_asked_to_stop_it_saves_the_step_just_done_and_at_the_end_the_last(
    asked, usual, base, scenes, tmp_path
) -> None:
    path, rare = tmp_path / "c.pt", CONFIG.model_copy(update={"checkpoint_every_steps": 100})
    whole, _ = usual()
    with pytest.raises(asked):
        run(base, scenes, rare, checkpoint=path, stop_at=3, stop_with=asked)
    assert step_of(path) == 3
    rest, _ = run(base, scenes, rare, checkpoint=path)
    assert rest == whole[3:]
    assert step_of(path) == STEPS


def test_checkpoints_by_time_resume_as_those_by_steps(usual, base, scenes, tmp_path) -> None:
    by_time = CONFIG.model_copy(update={"checkpoint_every_steps": None, "checkpoint_every_s": 1e-9})
    whole, _ = usual()
    with pytest.raises(StoppedError):
        run(base, scenes, by_time, checkpoint=tmp_path / "c.pt", stop_at=6)
    rest, _ = run(base, scenes, by_time, checkpoint=tmp_path / "c.pt")
    assert rest == whole[5:]


def test_an_evaluation_midway_does_not_turn_dropout_off(usual, base, scenes) -> None:
    lora = {"name": "lora", "dropout": 0.5}
    evaluated, _ = run(base, scenes, **lora, midway=nn.Module.eval)
    assert evaluated == usual(**lora)[0]


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(base, scenes) -> None:
    model, strategy = tunable(base)
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).fill_(math.nan)
    steps = []
    trained = train(
        model,
        encoded(base, scenes),
        CONFIG,
        strategy=strategy,
        learning_rate=RATE,
        seed=0,
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(lambda step, metrics: steps.append(step)),
    )
    assert trained.diverged
    assert steps == [1]


def test_a_loss_that_trebles_is_diverged_and_a_noisy_one_is_not() -> None:
    noisy, lost = LossMonitor(), LossMonitor()
    assert not any(noisy.diverged(loss) for loss in [2.0, 3.0] * 20 + [7.0])
    assert [lost.diverged(loss) for loss in [2.0] * 10 + [6.1] * 10] == [False] * 19 + [True]


def test_the_schedule_warms_up_then_follows_the_cosine(base, scenes) -> None:
    rates = []
    model, strategy = tunable(base)
    train(
        model,
        encoded(base, scenes),
        CONFIG,
        strategy=strategy,
        learning_rate=RATE,
        seed=0,
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(lambda step, metrics: rates.append(metrics["train/lr"])),
    )
    assert rates[0] == pytest.approx(RATE / 4)  # a warm-up of 4 steps
    assert rates[3] == pytest.approx(RATE)
    assert rates[7] == pytest.approx(RATE / 2)  # half way through the cosine
    assert rates[-1] == pytest.approx(0.0)


@pytest.mark.sweep
def test_a_compiled_model_gives_the_losses_of_the_plain_one(base, scenes) -> None:
    few = CONFIG.model_copy(update={"max_steps": 4})
    usual, _ = run(base, scenes, few)
    compiled, _ = run(base, scenes, few.model_copy(update={"compile": True}))
    assert compiled == pytest.approx(usual, rel=1e-4)
