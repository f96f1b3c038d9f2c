"""One trial: prepare, apply the strategy, train, evaluate, save, analyse.

As a library: ``run_trial(config, out=..., report=..., worker=Worker(cache))``.
From a shell: ``python -m lnt_core.trial trial.yaml --out DIR``. With `train.deepspeed`,
``torchrun --nproc-per-node N -m lnt_core.trial ...`` runs the trial on N workers.
"""

import argparse
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lnt_core import metrics as metric
from lnt_core.accounting.gathering import Gathering
from lnt_core.accounting.micro_batch import kept_choice, settle
from lnt_core.accounting.trial_costs import Prediction, TrialSteps, cost_metrics, predict_trial
from lnt_core.analysis.gradients import GradientVariance, measured_steps
from lnt_core.analysis.trial_analysis import CUT_SHORT, try_to_analyse
from lnt_core.config import TrialConfig
from lnt_core.devices.chosen import default_device, is_torchrun, own_device
from lnt_core.devices.memory import MemoryMeter, empty
from lnt_core.distributed.ranks import end_process, is_first, join, rank
from lnt_core.distributed.sharded import is_sharded
from lnt_core.errors import TrialError
from lnt_core.outcome import WEIGHTS as WEIGHTS  # part of this module's interface
from lnt_core.outcome import TrialResult as TrialResult
from lnt_core.outcome import forget_result, left_in, write_result
from lnt_core.seeding import seed_everything
from lnt_core.strategies import get_strategy
from lnt_core.strategies.base import Strategy
from lnt_core.strategies.tuned import tuned_copy
from lnt_core.strategies.weights import save_connector, save_weights
from lnt_core.training.engines import engine_for
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, Report, Trained, report_nothing, train
from lnt_core.training.recovery import forget_checkpoints, is_kept, settle_checkpoint
from lnt_core.trial_scores import evaluate
from lnt_core.worker import Prepared, Worker

CHECKPOINT = "checkpoint.pt"
GRADIENTS = "gradients.json"


def run_trial(
    config: TrialConfig,
    *,
    out: Path,
    report: Report,
    worker: Worker,
    memory_gib: float | None = None,
    reported: float = math.inf,
    captioning: Path | None = None,
) -> TrialResult:
    """Run one trial from its config, or resume it from the last whole checkpoint in ``out``.

    With several workers, each of them calls this; rank 0 reports and writes.

    Args:
        config: Everything that determines the outcome.
        out: The trial's own folder, shared by all workers: checkpoint, captions and weights.
        report: Called with an optimizer step and metrics measured after it, in order of steps.
        worker: Keeps the base model and data between trials.
        memory_gib: Total memory, in GiB, that this process may use on its GPU or host; decides what
            `auto` finds. Default: what is free.
        reported: Up to which step the caller still has what was reported before: no checkpoint of
            a later step is resumed from. That of rank 0 counts.
        captioning: File through which the processes of a sweep tell each other how many images
            they can caption at once. Default: only this process knows.

    Raises:
        LntError: The trial cannot be run; the message says why.
    """
    engine_for(config.train)  # raises before anything is prepared
    _settle_checkpoint(config, out, reported)
    report = report if is_first() else report_nothing
    empty(worker.device)  # of what the trial before has left
    started = time.perf_counter()
    ready = _get_ready(config, out, report=report, worker=worker, memory_gib=memory_gib)
    ready.prepared.share_captioning(captioning)
    prepare_s = time.perf_counter() - started
    trained = _train(ready, out, report=report, loader_workers=worker.loader_workers)
    started = time.perf_counter()
    metrics = cost_metrics(ready.model, ready.prepared, ready.prediction, trained, ready.meter)
    if not trained.diverged:
        metrics |= evaluate(ready.gathering, ready.prepared, out, bf16=ready.bf16)
    metrics |= {
        metric.FINAL_LOSS: trained.final_loss,
        metric.MICRO_BATCH_SIZE: ready.config.train.micro_batch,
        metric.GRADIENT_CHECKPOINTING: float(ready.config.train.checkpointing),
        metric.PREPARE_S: prepare_s,
        metric.TRAIN_S: trained.train_s,
        metric.EVALUATE_S: time.perf_counter() - started,
    }
    report(trained.steps, metrics)
    if not trained.diverged:
        _save(ready, out / WEIGHTS)
    status = "diverged" if trained.diverged else "finished"
    result = TrialResult(status, trained.steps, metrics)
    if ready.gradients is not None and not trained.diverged:
        result = _analysed(ready, result, config, out, report=report)
    result = _written(result, config, out)
    if is_first():
        forget_progress(out)
    return result


def _written(result: TrialResult, config: TrialConfig, out: Path) -> TrialResult:
    """Write how the trial has ended, with the checksums of what it has left."""
    if is_first():
        result = replace(result, files=left_in(out))
        write_result(result, config, out)
    return result


def _analysed(
    ready: "_Ready", result: TrialResult, config: TrialConfig, out: Path, *, report: Report
) -> TrialResult:
    """The result with the paper's analyses.

    Whatever happens in them, the trial has ended by then: it is trained, scored, saved and written.
    """
    _written(replace(result, note=CUT_SHORT), config, out)
    started = time.perf_counter()
    found, note = try_to_analyse(
        ready.model, ready.prepared, out, bf16=ready.bf16, gradients=ready.gradients
    )
    if note:
        return replace(result, note=note)
    found[metric.ANALYSE_S] = time.perf_counter() - started
    report(result.steps, found)
    return replace(result, metrics=result.metrics | found)


def forget_progress(out: Path) -> None:
    """Delete what an ended trial would have resumed from."""
    forget_checkpoints(out / CHECKPOINT)
    (out / GRADIENTS).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Ready:
    """A trial that is ready to train."""

    config: TrialConfig
    """With what was found in place of `auto`."""
    prepared: Prepared
    strategy: Strategy  # type: ignore[type-arg]
    model: nn.Module
    """With the strategy applied."""
    gradients: GradientVariance | None
    """None without `train.analyse`."""
    prediction: Prediction
    gathering: Gathering
    meter: MemoryMeter

    @property
    def bf16(self) -> bool:
        """Whether it runs under bfloat16 autocast."""
        return self.config.train.precision == "bf16"


def _get_ready(
    config: TrialConfig, out: Path, *, report: Report, worker: Worker, memory_gib: float | None
) -> _Ready:
    """Prepare base model and data, apply the strategy to a copy, and predict the costs."""
    prepared = worker.prepare(config)
    seed_everything(config.seed_of_training)
    strategy = get_strategy(config.strategy.name)
    meter = MemoryMeter.start(prepared.base.device)
    model = tuned_copy(prepared.base, strategy, config.strategy, config.train.deepspeed)
    lent_gib = prepared.base.lend_to(model)
    meter = replace(meter, start_gib=meter.start_gib - lent_gib)
    gradients = None
    if config.train.analyse:
        gradients = GradientVariance(model, prepared.base.roles, out / GRADIENTS)
    steps = TrialSteps(model, strategy, config.strategy, prepared, worker.predictions)
    config = settle(config, steps, out, report=report, memory_gib=memory_gib)
    prediction = predict_trial(steps, config.train)
    bf16 = config.train.precision == "bf16"
    gathering = Gathering.planned(model, prepared, bf16=bf16, memory_gib=memory_gib)
    if is_sharded(model):
        worker.release_base()
    return _Ready(config, prepared, strategy, model, gradients, prediction, gathering, meter)


def _train(ready: _Ready, out: Path, *, report: Report, loader_workers: int) -> Trained:
    """Run stage 2, with evaluations midway if the config asks for them."""
    config, prepared = ready.config, ready.prepared
    if rank():  # dropout differs between workers
        seed_everything(config.seed_of_training + rank())

    def evaluate_midway(step: int) -> None:
        if step in config.train.evaluate_at_steps:
            with ready.gathering.for_captions():
                scored = prepared.select.evaluate(ready.model, prepared.store, bf16=ready.bf16)
            report(step, {metric.selecting(scored.metric): scored.score})

    return train(
        ready.model,
        prepared.samples,
        config.train,
        strategy=ready.strategy,
        learning_rate=config.learning_rate,
        seed=config.seed_of_training,
        loading=Loading(prepared.store, prepared.pad_id, loader_workers),
        hooks=Hooks(report, after_backward=ready.gradients, after_step=evaluate_midway),
        checkpoint=out / CHECKPOINT,
    )


def _save(ready: _Ready, folder: Path) -> None:
    """Write the tuned weights and the connector of stage 1."""
    base_name = model_name(ready.config)
    save_weights(ready.model, folder, strategy=ready.config.strategy, base_name=base_name)
    if is_first():
        save_connector(ready.prepared.base, folder)


def _settle_checkpoint(config: TrialConfig, out: Path, reported: float) -> None:
    """Leave the checkpoint that the trial resumes from, with all that belongs to it.

    Beside it are the gradients of the first steps, what was found for `auto`, and what the caller
    was told. Where one of them is lost, an earlier checkpoint is taken.

    Raises:
        TrialError: The trial continues from another one's checkpoint, and that is gone.
    """
    measured = measured_steps(out / GRADIENTS) if config.train.analyse else math.inf
    whole = min(reported, measured)
    if not config.train.is_settled and kept_choice(config, out) is None:
        whole = 0
    origin = config.started_from
    at_most = whole if origin is None else max(whole, origin.step)
    step = settle_checkpoint(out / CHECKPOINT, at_most=at_most)
    if is_first():
        forget_result(out)
    if origin is not None and step is None:
        raise TrialError(
            f"this trial continues from step {origin.step} of trial {origin.trial}, but {out} has "
            "no copy of that checkpoint; remove `started_from` to begin at the base model"
        )


def has_checkpoint(out: Path) -> bool:
    """Whether ``out`` has a checkpoint that its trial may resume from."""
    return is_kept(out / CHECKPOINT)


def model_name(config: TrialConfig) -> str:
    """Short name of the base model, stored with the saved weights."""
    model = config.model
    if model.checkpoint is not None:
        return model.checkpoint
    return "lnt-tiny" if model.tiny else f"{model.language_model} + {model.vision_tower}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file with a TrialConfig")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("trial-out"),
        help="the trial's folder: checkpoint, weights",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "lnt",
        help="folder kept between runs: tiny model, scenes, stage 1",
    )
    parser.add_argument(
        "--device",
        default=default_device(),
        help="cpu, cuda or cuda:N (default: cuda if torch can use a GPU, else cpu)",
    )
    parser.add_argument(
        "--threads", type=int, help="CPU threads per worker (default: torch's own choice)"
    )
    parser.add_argument(
        "--memory-gib",
        type=float,
        help="GiB that a process may use; decides what `auto` finds",
    )
    parser.add_argument(
        "--loader-workers",
        type=int,
        default=1,
        help="threads per worker that make micro-batches ahead (default: 1)",
    )
    return parser


def main() -> None:
    """Run the trial of a YAML file and print its result as JSON."""
    import yaml

    args = _parser().parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lnt_core").setLevel(logging.INFO)
    config = TrialConfig.model_validate(yaml.safe_load(args.config.read_text()))
    device = own_device(args.device)
    if config.train.deepspeed is not None or is_torchrun():
        join(device)
    worker = Worker(args.cache, device=device, loader_workers=args.loader_workers)

    def show(step: int, metrics: dict[str, float]) -> None:
        print(step, " ".join(f"{name}={value:.4g}" for name, value in metrics.items()), flush=True)  # noqa: T201

    result = run_trial(
        config,
        out=args.out,
        report=show,
        worker=worker,
        memory_gib=args.memory_gib,
    )
    if is_first():
        print(json.dumps(asdict(result)))  # noqa: T201
    end_process()


if __name__ == "__main__":
    main()
