"""What is wrong on which node, in one line for all nodes with the same."""

from dataclasses import replace

from sweeps.nodes.deepspeed import DeepSpeed
from sweeps.nodes.judge import INSTALL, Node, problems
from sweeps.nodes.needs import Needs
from tests.sweeps.nodes.nodes import FACTS, node, with_versions

SHARDED = Needs(uses_gpus=False, deepspeed=True)
WITHOUT_DEEPSPEED = {k: v for k, v in FACTS.versions.items() if k != "deepspeed"}
COMPILES = DeepSpeed(operators={"cpu_adam": "compatible"}, ninja=True)


def test_nothing_is_wrong_on_equal_nodes() -> None:
    assert problems([node("a"), node("b")], Needs(uses_gpus=True)) == []
    # a driver's own machine may have a torch for the CPU, and no GPU
    driver = replace(FACTS, torch_cuda="", versions=with_versions(torch="2.13.0+cpu"))
    nodes = [Node("the driver", trains=False, facts=driver), node("a")]
    assert problems(nodes, Needs(uses_gpus=True)) == []


def test_versions_are_the_same_on_all_nodes() -> None:
    nodes = [
        node("a"),
        node("b", versions=with_versions(transformers="5.1.0"), source="ba9876543210"),
        node("c", python="3.12.1", torch_cuda="12.8"),
    ]
    end = ". Install one version on all of them"
    assert problems(nodes, Needs(uses_gpus=True)) == [
        f"Python is not the same everywhere: 3.11 on a, b; 3.12 on c{end}",
        f"lnt's own code is not the same everywhere: 0123456789ab on a, c; ba9876543210 on b{end}",
        f"transformers is not the same everywhere: 1.0 on a, c; 5.1.0 on b{end}",
        f"the CUDA of torch is not the same everywhere: 13.0 on a, b; 12.8 on c{end}",
    ]
    assert len(problems(nodes, Needs(uses_gpus=False, peaks_gib={}))) == 4  # GPUs are there


def test_ray_counts_no_more_cpus_than_the_cores_that_it_is_bound_to() -> None:
    bound = replace(node("a", cores=1), cpus=16)
    (line,) = problems([bound], Needs(uses_gpus=False))
    assert line == (
        "a: Ray counts 16 CPUs, but is bound to 1 of the host's 16 cores, which all trials would "
        "share: start Ray unbound (with Slurm: srun --cpu-bind=none --cpus-per-task=N), or with "
        "--num-cpus=1"
    )
    assert problems([replace(bound, cpus=1)], Needs(uses_gpus=False)) == []
    # whoever counts more CPUs than the host has wants just that
    assert problems([replace(node("a"), cpus=64)], Needs(uses_gpus=False)) == []


def test_a_node_that_the_sweep_does_not_use_may_be_as_it_likes() -> None:
    other = Node("other", trains=False, facts=None, error="no answer", used=False)
    assert problems([node(), other], Needs(uses_gpus=True)) == []
    assert problems([other], Needs(uses_gpus=True)) == ["other: no answer"]


def test_the_same_on_many_nodes_is_one_line() -> None:
    nodes = [Node(f"n{i}", trains=True, facts=None, error="no answer") for i in range(9)]
    assert problems(nodes, Needs()) == ["n0, n1, n2, n3 and 5 more nodes: no answer"]


def test_what_is_not_installed_or_not_there() -> None:
    versions = {k: v for k, v in FACTS.versions.items() if k not in ("peft", "scipy")}
    found = node(versions=versions, missing=("/data/images",), folder_problems=("no room",))
    assert problems([found], Needs(uses_gpus=False)) == [
        f"10.0.0.1: not installed: peft, scipy; {INSTALL}",
        "10.0.0.1: no room",
        "10.0.0.1: not there: /data/images; give paths that every node sees, and download models "
        "on every node or to a shared HF_HOME",
    ]
    only_drives = replace(found, trains=False)
    assert len(problems([only_drives], Needs(uses_gpus=False))) == 2


def test_deepspeed_where_a_trial_uses_it() -> None:
    compiler = "'c++' is not on the PATH: apt-get install g++, or set CXX"
    ninja = (
        "ninja is not on the PATH: pip install ninja, and start Ray (or `lnt run`) with the "
        "virtual environment activated"
    )
    yet = "DeepSpeed has yet to compile cpu_adam, but"
    for found, expected in [
        (node(deepspeed=COMPILES), []),
        (node(deepspeed=DeepSpeed(operators={"cpu_adam": "built"}), has_compiler=False), []),
        (node(deepspeed=COMPILES, has_compiler=False), [f"{yet} {compiler}"]),
        (node(deepspeed=replace(COMPILES, ninja=False)), [f"{yet} {ninja}"]),
        (
            node(deepspeed=DeepSpeed(error="ImportError: libaio")),
            ["deepspeed 0.19.8 cannot be imported: ImportError: libaio"],
        ),
        (
            node(deepspeed=DeepSpeed(operators={"cpu_adam": "incompatible"})),
            ["DeepSpeed says that this machine cannot have cpu_adam"],
        ),
        (
            node(deepspeed=DeepSpeed(error="no module"), versions=WITHOUT_DEEPSPEED),
            [f"train.deepspeed is set, but deepspeed is not installed: {INSTALL}"],
        ),
    ]:
        assert problems([found], SHARDED) == [f"10.0.0.1: {line}" for line in expected]
        assert problems([found], Needs(uses_gpus=False)) == []


def test_what_settings_need() -> None:
    found = node(has_compiler=False)
    needs = Needs(uses_gpus=True, flash_attention=True, compiles=("train.compile: true",))
    assert problems([found], needs) == [
        "10.0.0.1: train.compile: true needs a C++ compiler, but 'c++' is not on the PATH: "
        "apt-get install g++, or set CXX",
        "10.0.0.1: model.attention is flash_attention_2, but flash-attn is not installed: pip "
        "install flash-attn --no-build-isolation, or leave model.attention out to use sdpa",
    ]


def test_bf16_on_a_cpu_without_its_instructions_is_refused() -> None:
    needs = Needs(uses_gpus=False, bf16_on_cpu=True)
    (told,) = problems([node(cpu_has_bf16=False)], needs)
    assert "train.precision is bf16, but the CPU has no instructions for it" in told
    assert problems([node(cpu_has_bf16=True)], needs) == []
    assert problems([node(cpu_has_bf16=False)], Needs(uses_gpus=False)) == []
