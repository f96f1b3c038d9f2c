"""Stage 1: trains the connector alone, once, and saves it for all trials.

Until it is saved, checkpoints stand beside it in the cache: whoever comes next, in any sweep, goes
on from the last one.
"""

import logging
import math
import shutil
import uuid
from pathlib import Path

import torch
from torch import nn

from lnt_core.config import AlignConfig, DatasetConfig, TrainConfig, TuneConfig
from lnt_core.data.encoded_cache import encoded_samples
from lnt_core.distributed.ranks import gather, is_first, num_workers, rank, wait_for_all
from lnt_core.distributed.sharded import whole
from lnt_core.distributed.turn import turn
from lnt_core.distributed.zero_config import Deepspeed, stage_of
from lnt_core.errors import DamagedError, TrialError
from lnt_core.files import check_torch, content_crc32, set_aside
from lnt_core.models.features import FeatureStore
from lnt_core.models.roles import parameters_of
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.seeding import cpu_threads, seed_everything
from lnt_core.strategies import get_strategy
from lnt_core.strategies.tuned import tuned_copy
from lnt_core.training.checkpoints import save_atomically
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, Report, Trained, report_nothing, train
from lnt_core.training.recovery import settle_checkpoint

logger = logging.getLogger(__name__)
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
    loader_workers: int = 1,
) -> Weights:
    """Train the connector of stage 1, save it and return it.

    Only one process, or group of workers, trains it; others wait meanwhile, and take what it saved.
    What was killed goes on from its last checkpoint, and ends with the same connector to the last
    bit. Another number of workers gives the same losses but for rounding.

    Args:
        base: The base model. It does not change, unless ZeRO-3 shards it: then it must not be used
            afterwards.
        data: Images with captions or conversations.
        config: Learning rate, steps and batch sizes.
        store: Image features.
        saved: File to write in the cache, named by a hash of everything that stage 1 depends on.
        deepspeed: The trial's `train.deepspeed`. Only ZeRO-3 matters: it shards the base.
        report: Called with the step and its metrics for every step of the training, those included
            that were done before it was killed.
        loader_workers: Threads that make micro-batches ahead.

    Raises:
        TrialError: Training diverged.
    """
    if stage_of(deepspeed) != 3:
        deepspeed = None
    with turn(saved):
        if (connector := kept_connector(saved)) is not None:  # from the one that was waited for
            return connector
        checkpoint = _checkpoint(saved, deepspeed)
        with cpu_threads(1):  # so that the result does not depend on which trial trains it
            model, trained = _train(
                base,
                data,
                config,
                deepspeed,
                store,
                checkpoint,
                report,
                loader_workers,
                cache=saved.parent,
            )
        connector = _connector(model, base)
        if is_first() and not trained.diverged:
            save_atomically(connector, saved)
        if is_first():
            _forget(saved)
    if trained.diverged:
        raise TrialError(
            f"stage 1 diverged at step {trained.steps} with align.learning_rate "
            f"{config.learning_rate:g}; choose a smaller one"
        )
    return connector


def _checkpoint(saved: Path, deepspeed: Deepspeed) -> Path | None:
    """Where checkpoints go: only what trains in the same way may go on from them.

    None if several workers have no folder in common.
    """
    workers = num_workers()
    is_alone = workers == 1 and deepspeed is None
    own = "" if is_alone else f"-{content_crc32({'deepspeed': deepspeed, 'workers': workers})}"
    checkpoint = saved.with_name(f"{_stem(saved)}{own}{saved.suffix}")
    if not _is_shared(saved.parent):
        if is_first():
            logger.warning(
                "stage 1 has no checkpoints: its %d workers do not see the same %s; set LNT_CACHE "
                "to a folder that all nodes share",
                workers,
                saved.parent,
            )
        return None
    settle_checkpoint(checkpoint, at_most=math.inf)
    return checkpoint


def _is_shared(folder: Path) -> bool:
    """Whether all workers see the same folder."""
    if num_workers() == 1:
        return True
    probe = folder / f".{gather(uuid.uuid4().hex)[0]}"
    if is_first():
        probe.touch()
    wait_for_all()
    seen = all(gather(probe.exists()))
    if is_first():
        probe.unlink()
    return seen


def _forget(saved: Path) -> None:
    """Delete all checkpoints of this stage 1, of whatever number of workers."""
    for path in saved.parent.glob(f"{_stem(saved)}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _stem(saved: Path) -> str:
    return f"{saved.stem}.checkpoint"


def _stage(config: AlignConfig, deepspeed: Deepspeed) -> TrainConfig:
    """The settings of the training: those of ``config``, with `deepspeed` if it shards the base."""
    if deepspeed is None:
        return config
    own = config.model_dump(include=set(TrainConfig.model_fields))
    return TuneConfig.model_validate({**own, "deepspeed": deepspeed})


def _train(
    base: VisionLanguageModel,
    data: DatasetConfig,
    config: AlignConfig,
    deepspeed: Deepspeed,
    store: FeatureStore,
    checkpoint: Path | None,
    report: Report,
    loader_workers: int,
    *,
    cache: Path,
) -> tuple[nn.Module, Trained]:
    strategy = get_strategy("connector")
    model = tuned_copy(base, strategy, strategy.Config(), deepspeed)  # type: ignore[call-arg]
    samples = encoded_samples(
        data, base.conversations, seed=config.seed, max_length=config.max_length, cache=cache
    )
    pad_id = base.conversations.tokenizer.pad_token_id
    if rank():  # dropout differs between workers
        seed_everything(config.seed + rank())
    trained = train(
        model,
        samples,
        _stage(config, deepspeed),
        strategy=strategy,
        learning_rate=config.learning_rate,
        seed=config.seed,
        loading=Loading(store, int(pad_id), loader_workers),
        hooks=Hooks(report, replay=True),
        checkpoint=checkpoint,
    )
    return model, trained


def _connector(model: nn.Module, base: VisionLanguageModel) -> Weights:
    connector = parameters_of(model, base.roles.require("connector"))
    with whole(list(connector.values())):
        return {n: tensor.detach().to("cpu", copy=True) for n, tensor in connector.items()}
