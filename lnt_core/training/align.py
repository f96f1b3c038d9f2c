"""Stage 1: trains the connector alone, once, and saves it for all trials."""

from pathlib import Path

import torch

from lnt_core.config import AlignConfig, DatasetConfig, TrainConfig, TuneConfig
from lnt_core.data.encoding import encode_samples
from lnt_core.data.samples import load_samples
from lnt_core.distributed.ranks import gather, is_first, num_workers
from lnt_core.distributed.sharded import whole
from lnt_core.distributed.zero_config import Deepspeed, stage_of
from lnt_core.errors import DamagedError, TrialError
from lnt_core.files import check_torch, set_aside
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.seeding import cpu_threads
from lnt_core.strategies import get_strategy
from lnt_core.strategies.tuned import tuned_copy
from lnt_core.training.checkpoints import save_atomically
from lnt_core.training.loop import Hooks, Report, report_nothing, train

Weights = dict[str, torch.Tensor]
"""The connector's tensors by name."""


def kept_connector(saved: Path) -> Weights | None:
    """The connector of stage 1 from the file ``saved``; None if no worker of the trial has it."""
    own = torch.load(saved, map_location="cpu", weights_only=True) if is_kept(saved) else None
    return next((found for found in gather(own) if found is not None), None)


def is_kept(saved: Path) -> bool:
    """Whether there is a whole file of stage 1; a damaged one is set aside."""
    if not saved.exists():
        return False
    try:
        check_torch(saved)
    except DamagedError as error:
        set_aside(saved, error.why, "stage 1 is trained again")
        return False
    return True


def train_connector(
    base: VisionLanguageModel,
    data: DatasetConfig,
    config: AlignConfig,
    *,
    store: FeatureStore,
    saved: Path,
    deepspeed: Deepspeed = None,
    report: Report = report_nothing,
) -> Weights:
    """Train the connector of stage 1, save it and return it.

    Args:
        base: The base model. It does not change, unless ZeRO-3 shards it: then it must not be used
            afterwards.
        data: Images with captions or conversations.
        config: Learning rate, steps and batch sizes.
        store: Image features.
        saved: File to write, named by a hash of everything that stage 1 depends on.
        deepspeed: The trial's `train.deepspeed`, by which several workers share stage 1 as well.
        report: Called with the step and its metrics after every step.

    Raises:
        TrialError: Training diverged.
    """
    if num_workers() == 1 and stage_of(deepspeed) != 3:
        deepspeed = None
    with cpu_threads(1):  # so that the result does not depend on which trial trains it
        connector = _train(base, data, _stage(config, deepspeed), config, store, report)
    if is_first():
        save_atomically(connector, saved)
    return connector


def _stage(config: AlignConfig, deepspeed: Deepspeed) -> TuneConfig:
    """The same settings as a ``TuneConfig``, which unlike ``AlignConfig`` has `deepspeed`."""
    own = config.model_dump(include=set(TrainConfig.model_fields))
    return TuneConfig.model_validate({**own, "deepspeed": deepspeed})


def _train(
    base: VisionLanguageModel,
    data: DatasetConfig,
    stage: TuneConfig,
    config: AlignConfig,
    store: FeatureStore,
    report: Report,
) -> Weights:
    strategy = get_strategy("connector")
    model = tuned_copy(base, strategy, strategy.Config(), stage.deepspeed)  # type: ignore[call-arg]
    samples = load_samples(data, seed=config.seed)
    pad_id = base.conversations.tokenizer.pad_token_id
    trained = train(
        model,
        encode_samples(base.conversations, samples, max_length=config.max_length),
        stage,
        strategy=strategy,
        learning_rate=config.learning_rate,
        seed=config.seed,
        store=store,
        pad_id=int(pad_id),
        hooks=Hooks(report),
    )
    if trained.diverged:
        raise TrialError(
            f"stage 1 diverged at step {trained.steps} with align.learning_rate "
            f"{config.learning_rate:g}; choose a smaller one"
        )
    connector = model.get_submodule(*base.roles.require("connector"))
    with whole(list(connector.parameters())):
        return {n: tensor.to("cpu", copy=True) for n, tensor in connector.state_dict().items()}
