"""Stage 1: the connector alone learns to translate image features; trained once and kept."""

from pathlib import Path

import torch

from lnt_core.config import AlignConfig, DatasetConfig
from lnt_core.data.batches import FeatureStore
from lnt_core.data.samples import load_samples
from lnt_core.errors import TrialError
from lnt_core.models.vlm import VisionLanguageModel, own_trainable
from lnt_core.seeding import cpu_threads
from lnt_core.strategies import get_strategy
from lnt_core.training.checkpoints import save_atomically
from lnt_core.training.loop import Hooks, train


def align(
    base: VisionLanguageModel,
    data: DatasetConfig,
    config: AlignConfig,
    *,
    store: FeatureStore,
    saved: Path,
) -> None:
    """Load the aligned connector into ``base`` from ``saved``, or train it and save it there.

    Args:
        base: Its connector is replaced in place.
        data: Images with captions or conversations.
        config: Rate, steps and batch sizes.
        store: Image features.
        saved: File named by the hash of everything stage 1 depends on.

    Raises:
        TrialError: Training diverged.
    """
    if not saved.exists():
        with cpu_threads(1):  # always one, so that it does not depend on who asks first
            connector = _train(base, data, config, store)
        save_atomically(connector, saved)
    base.connector.load_state_dict(torch.load(saved, map_location=base.device, weights_only=True))


def _train(
    base: VisionLanguageModel, data: DatasetConfig, config: AlignConfig, store: FeatureStore
) -> dict[str, torch.Tensor]:
    strategy = get_strategy("connector")
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())  # type: ignore[call-arg]
    own_trainable(model)
    encode = base.conversations.encode
    samples = load_samples(data, seed=config.seed)
    pad_id = base.conversations.tokenizer.pad_token_id
    trained = train(
        model,
        [encode(sample, max_length=config.max_length) for sample in samples],
        config,
        strategy=strategy,
        learning_rate=config.learning_rate,
        seed=config.seed,
        store=store,
        pad_id=int(pad_id),
        hooks=Hooks(lambda step, metrics: None),
    )
    if trained.diverged:
        raise TrialError(
            f"stage 1 diverged at step {trained.steps} with align.learning_rate "
            f"{config.learning_rate:g}; choose a smaller one"
        )
    connector = model.get_submodule(*base.roles.require("connector"))
    return {name: tensor.cpu() for name, tensor in connector.state_dict().items()}
