"""`lnt doctor`: what each node has, and what is wrong there, before a sweep is run."""

import argparse

from rich.console import Console

from lnt_core.errors import ConfigError
from sweeps.cli.arguments import override_argument
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_REFUSED
from sweeps.console import PlainTable, say
from sweeps.nodes.judge import Node
from sweeps.nodes.nvidia import Driver
from sweeps.plan.labels import counted
from sweeps.plan.load import load_sweep
from sweeps.settings import read_settings

PIPE_WIDTH = 160


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt doctor`."""
    parser.add_argument(
        "sweep",
        metavar="SWEEP",
        nargs="?",
        help="a sweep file, or the name of a preset: also check what this sweep needs",
    )
    override_argument(parser)
    parser.add_argument(
        "--address", help="address of a running Ray cluster (default: this machine alone)"
    )
    parser.set_defaults(command=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    if args.overrides and args.sweep is None:
        raise ConfigError("--set overrides a value of a sweep: name the sweep too")
    sweep = load_sweep(args.sweep, tuple(args.overrides)) if args.sweep else None

    from sweeps.driver.nodes import examine

    found = examine(sweep, read_settings(), args.address)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)  # a pipe or file has no width of its own
    console.print(_table(found.nodes))
    for line in (
        *(f"Warning: {line}" for line in found.warnings),
        *(f"Wrong: {line}" for line in found.problems),
        f"{counted(len(found.problems), 'problem') if found.problems else 'No problem'} found.",
    ):
        say(console, line)
    return EXIT_REFUSED if found.problems else EXIT_DONE


def _table(nodes: list[Node]) -> PlainTable:
    table = PlainTable()
    for column in ("node", "host", "trials", "python", "torch", "transformers", "driver", "GPUs"):
        table.add_column(column)
    for column in ("C++", "deepspeed", "flash-attn", "free disk"):
        table.add_column(column)
    for node in nodes:
        table.add_row(*_cells(node))
    return table


def _cells(node: Node) -> list[str]:
    trains = "yes" if node.trains else "no"
    if (facts := node.facts) is None:
        return [node.name, "?", trains]
    versions = facts.versions
    torch = versions.get("torch", "none")
    built = f"CUDA {facts.torch_cuda}" if facts.torch_cuda else "CPU"
    if facts.torch_hip:
        built = f"ROCm {facts.torch_hip}"
    return [
        node.name,
        facts.host,
        trains,
        facts.python,
        f"{torch} ({built})",
        versions.get("transformers", "none"),
        _driver(facts.driver),
        _gpus(facts.driver, node.gpus_in_use),
        "yes" if facts.has_compiler else "no",
        versions.get("deepspeed", "none"),
        versions.get("flash-attn", "none"),
        ", ".join(f"{name} {gib:.0f} GiB" for name, gib in facts.free_gib.items()),
    ]


def _driver(driver: Driver) -> str:
    if driver.problem:
        return "no answer"
    if not driver.version:
        return "none"
    cuda = f"CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.cuda else "no libcuda"
    return f"{driver.version} ({cuda})"


def _gpus(driver: Driver, in_use: float) -> str:
    """GPUs of one model in one line: ``8 x H100, 79.1 of 79.6 GiB free``, of the fullest one."""
    lines = []
    for name in dict.fromkeys(gpu.name for gpu in driver.gpus):
        same = [gpu for gpu in driver.gpus if gpu.name == name]
        fullest = min(same, key=lambda gpu: gpu.free_gib)
        lines.append(
            f"{len(same)} x {name} (compute {fullest.capability[0]}.{fullest.capability[1]}), "
            f"{fullest.free_gib:.1f} of {fullest.total_gib:.1f} GiB free"
        )
    lines += [f"{in_use:g} in use by Ray"] if in_use else []
    return "\n".join(lines) or "none"
