"""What a sweep needs of the nodes that it will use."""

from dataclasses import dataclass, field

from lnt_core.distributed.zero_config import offloads_optimizer
from sweeps.config import SweepConfig
from sweeps.nodes.facts import Asked
from sweeps.plan.load import local_paths
from sweeps.plan.planned import Plan
from sweeps.plan.space import value_combinations, with_values

CPU_ADAM, SHARED_MEMORY = "cpu_adam", "deepspeed_shm_comm"
"""DeepSpeed's names of its operators: Adam on the CPU, and communication on a node without GPUs."""


@dataclass(frozen=True)
class Needs:
    """What trials need; without a sweep, only what is wrong for every sweep is judged."""

    uses_gpus: bool | None = None
    """None without a sweep: GPUs are judged where there are some."""
    gpu_share: float = 1.0
    """The fraction of a GPU that each process has."""
    peaks_gib: dict[str, float] = field(default_factory=dict)
    """Predicted peak of the memory of each strategy's processes."""
    since_ampere: tuple[str, ...] = ()
    """Settings that need a GPU of compute capability 8.0 or higher."""
    bf16_on_cpu: bool = False
    """Trials compute in bfloat16 without a GPU."""
    flash_attention: bool = False
    deepspeed: bool = False
    compiles: tuple[str, ...] = ()
    """Settings for which torch compiles code."""


def needs_of(sweep: SweepConfig, planned: Plan) -> Needs:
    """What the trials of a sweep need.

    Args:
        sweep: The sweep.
        planned: Its plan; may be empty if trials use no GPU.
    """
    resources = sweep.resources
    trains = [with_values(sweep, values).train for values in value_combinations(sweep)]
    precisions = sorted({train.precision for train in trains} - {"fp32"})
    flash = sweep.model.attention == "flash_attention_2"
    settings = [f"train.precision: {precision}" for precision in precisions]
    settings += ["model.attention: flash_attention_2"] if flash else []
    return Needs(
        uses_gpus=resources.gpus_per_trial > 0,
        gpu_share=resources.gpu_share,
        peaks_gib={f"{t.strategy} {t.options}".strip(): t.cost.memory_gib for t in planned.trials},
        since_ampere=tuple(settings),
        bf16_on_cpu="bf16" in precisions and resources.gpus_per_trial == 0,
        flash_attention=flash,
        deepspeed=sweep.is_distributed,
        compiles=("train.compile: true",) if any(train.compile for train in trains) else (),
    )


def asked_for(sweep: SweepConfig, cache: str) -> Asked:
    """What every node is asked for before a sweep; without a file that the driver has written."""
    model = sweep.model
    models = (model.language_model, model.vision_tower, model.checkpoint)
    trains = [with_values(sweep, values).train for values in value_combinations(sweep)]
    device = "cuda" if sweep.resources.gpus_per_trial else "cpu"
    operators = [SHARED_MEMORY] if device == "cpu" else []
    operators += [CPU_ADAM] if any(offloads_optimizer(t.deepspeed) for t in trains) else []
    return Asked(
        cache=cache,
        storage=sweep.tracking.storage,
        paths=tuple(path for _, path in local_paths(sweep.model_dump())),
        models=tuple(name for name in models if name is not None),
        deepspeed=device if sweep.is_distributed else "",
        operators=tuple(operators) if sweep.is_distributed else (),
    )
