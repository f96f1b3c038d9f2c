"""What a sweep needs of nodes, from its config."""

from sweeps.nodes.needs import asked_for, needs_of
from sweeps.plan.load import load_sweep
from sweeps.plan.planned import Plan

NO_PLAN = Plan([], [])
ON_GPUS = ("resources.gpus_per_trial=1", "train.precision=bf16")
OFFLOADED = "{zero_optimization: {stage: 2, offload_optimizer: {device: cpu}}}"


def test_the_demo_needs_nothing_special() -> None:
    sweep = load_sweep("demo", ())
    needs, asked = needs_of(sweep, NO_PLAN), asked_for(sweep, "/cache")
    assert (needs.uses_gpus, needs.deepspeed, needs.since_ampere) == (False, False, ())
    assert (asked.deepspeed, asked.models, asked.paths) == ("", (), ())
    assert asked.storage == sweep.tracking.storage


def test_what_varies_counts() -> None:
    varied = "search.values={train.precision: [fp32, tf32], train.compile: [true, false]}"
    needs = needs_of(load_sweep("demo", (ON_GPUS[0], varied)), NO_PLAN)
    assert needs.uses_gpus
    assert needs.since_ampere == ("train.precision: tf32",)
    assert needs.compiles == ("train.compile: true",)


def test_deepspeed_is_asked_for_on_the_device_of_trials() -> None:
    on_cpu = load_sweep("demo", ("train.deepspeed=zero2",))
    asked = asked_for(on_cpu, "/cache")
    assert (asked.deepspeed, asked.operators) == ("cpu", ("deepspeed_shm_comm",))
    on_gpu = load_sweep("demo", (*ON_GPUS, f"train.deepspeed={OFFLOADED}"))
    asked = asked_for(on_gpu, "/cache")
    assert (asked.deepspeed, asked.operators) == ("cuda", ("cpu_adam",))
    assert needs_of(on_gpu, NO_PLAN).deepspeed


def test_models_and_data_are_looked_for_on_every_node() -> None:
    asked = asked_for(load_sweep("paper-7b", ()), "/cache")
    assert asked.models == ("lmsys/vicuna-7b-v1.5", "openai/clip-vit-large-patch14")
    assert asked.paths
    assert all(path.startswith("/") for path in asked.paths)
