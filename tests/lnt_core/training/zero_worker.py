"""One of several workers that train together: ``torchrun -m tests.lnt_core.training.zero_worker``.

Takes a JSON file with the parts of the model, the data and a list of cases; runs each and writes
what rank 0 saw as JSON. Without torchrun it is the one worker to compare with.
"""

import contextlib
import copy
import gc
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers

from lnt_core.accounting.predicted import StepCost
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import DataConfig, ModelConfig, TuneConfig
from lnt_core.data.samples import load_samples
from lnt_core.devices.memory import GIB, held_by
from lnt_core.distributed.ranks import end_process, gather, is_first, join
from lnt_core.distributed.zero_config import stage_of
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.strategies import get_strategy
from lnt_core.strategies.tuned import tuned_copy
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, train


class StoppedError(Exception):
    """Raised from `report`, where a kill would strike."""


def run(asked: dict, case: dict) -> dict:
    """One training; what rank 0 saw, and each rank's bytes."""
    gc.freeze()  # `tensor_bytes` would look through all modules, for longer than the steps take
    torch.manual_seed(0)  # the connector is drawn
    train_config = TuneConfig.model_validate(case["train"])
    base = load_base(
        ModelConfig.model_validate(asked["model"]),
        cache=Path(asked["cache"]),
        precision=train_config.precision,
        deepspeed=train_config.deepspeed,
    )
    data = DataConfig.model_validate(asked["data"])
    samples = [base.conversations.encode(s) for s in load_samples(data.tune, seed=0)]
    strategy = get_strategy(case["strategy"])
    before = tensor_bytes()
    torch.manual_seed(0)
    options = strategy.Config(**case["options"])
    model = tuned_copy(base, strategy, options, train_config.deepspeed)
    predicted_gib = 0.0
    if case.get("predicted"):
        prepared = SimpleNamespace(base=base, samples=samples)
        predicted_gib = standing_gib(
            TrialSteps(model, strategy, options, prepared, {}).of(train_config),
            base_gib=held_by(base.model),
            sharded=stage_of(train_config.deepspeed) == 3,
        )
    store = FeatureStore(base, max_bytes=0)
    losses, penalties, norms, gradients, ranks, engines = [], [], [], [], [], []

    def watch(step: int, gradient) -> None:
        engines[:] = [gradient.__self__]
        trained = [p for p in model.parameters() if p.requires_grad]
        gradients.append(sum(gradient(p).square().sum().item() for p in trained) ** 0.5)

    def report(step: int, metrics: dict[str, float]) -> None:
        if step == case.get("stop_at"):
            raise StoppedError
        losses.append(metrics["train/loss"])
        penalties.append(metrics.get("train/penalty", 0.0))
        norms.append(metrics["train/grad_norm"])
        ranks.append(copy.deepcopy(strategy.state(model).get("rank_pattern")))

    with contextlib.suppress(StoppedError):
        train(
            model,
            samples,
            train_config,
            strategy=strategy,
            learning_rate=case.get("rate", 3e-3),
            seed=0,
            loading=Loading(store, pad_id=0),
            hooks=Hooks(report, after_backward=watch),
            checkpoint=Path(case["checkpoint"]) if "checkpoint" in case else None,
        )
    return {
        "losses": losses,
        "penalties": penalties,
        "norms": norms,
        "gradients": gradients,
        "ranks": ranks,
        "bytes": gather(
            held_bytes(model, engines[0])
            | {"standing": tensor_bytes() - before, "predicted": predicted_gib * GIB}
        ),
    }


def standing_gib(cost: StepCost, *, base_gib: float, sharded: bool) -> float:
    """GiB that stand between steps besides the base, as predicted."""
    standing = cost.weights_gib + cost.optimizer_gib - base_gib
    return standing + cost.gradients_gib if sharded else standing  # keeps its part of them


def tensor_bytes() -> int:
    """Bytes of all tensors of this process, by unique storages."""
    gc.collect()
    found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and not t.is_meta]
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in found}
    return sum(storages.values())


def held_bytes(model, engine) -> dict[str, int]:
    """Bytes of this worker's gradients, optimiser state, and parameters in use."""
    state = engine.state.optimizer.state
    return {
        "trainable": sum(
            getattr(p, "ds_numel", p.numel()) * 4 for p in model.parameters() if p.requires_grad
        ),
        "frozen_gradients": sum(
            p.grad.nbytes for p in model.parameters() if not p.requires_grad and p.grad is not None
        ),
        "all_weights": sum(getattr(p, "ds_numel", p.numel()) * 4 for p in model.parameters()),
        "held_weights": sum(
            4 * (p.numel() + (p.ds_tensor.numel() if hasattr(p, "ds_id") else 0))
            for p in model.parameters()
        ),
        "optimizer": sum(
            v.nbytes for held in state.values() for k, v in held.items() if k.startswith("exp_avg")
        ),
    }


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    asked = json.loads(Path(sys.argv[1]).read_text())
    if torch.distributed.is_torchelastic_launched():
        join("cpu")
    seen = [run(asked, case) for case in asked["cases"]]
    if is_first():
        Path(sys.argv[2]).write_text(json.dumps(seen))
    end_process()


if __name__ == "__main__":
    main()
