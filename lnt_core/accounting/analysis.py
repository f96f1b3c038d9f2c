"""Predicts memory and FLOPs of the similarity of layers, computed once a trial is saved."""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lnt_core.accounting.depth import at_full_depth
from lnt_core.accounting.ledger import Ledger
from lnt_core.accounting.step import StepShape, embed
from lnt_core.analysis.similarity import BATCH, Outputs, each_output, run
from lnt_core.devices.memory import GIB
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import base_of


@dataclass(frozen=True)
class AnalysisCost:
    """Memory and FLOPs of the analysis of a trial's layers."""

    gib: float
    """GiB that it adds to the weights on its device."""
    flops: float
    """Forward passes over all images."""


def predict_analysis(
    model: nn.Module, roles: Roles, shape: StepShape, *, bf16: bool, on_gpu: bool
) -> AnalysisCost:
    """Predict the cost of :func:`~lnt_core.analysis.similarity.layer_similarity`.

    Args:
        model: The tuned model, on any device.
        roles: Roles of the base model.
        shape: Shape of all prompts, ``batch`` of them; ``answer_tokens`` is ignored.
        bf16: Run under bfloat16 autocast.
        on_gpu: Whether it will run on a GPU; on a CPU the outputs of all blocks are kept there too.
    """
    batch = min(BATCH, shape.batch)

    def measure(twin: nn.Module) -> list[int]:
        blocks = base_of(twin).get_submodule(roles.blocks[0].rpartition(".")[0])
        left = replace(roles, blocks=roles.blocks[: len(list(blocks.children()))])
        outputs = Outputs(len(left.blocks))
        ledger = Ledger()
        with ledger, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for tensor in (*twin.parameters(), *twin.buffers()):
                ledger.add(tensor)
            weights = ledger.live_bytes
            embedded = embed(twin, roles, replace(shape, batch=batch))
            images = embedded[:, : shape.image_tokens]
            held = [images.clone(), images.clone()]  # as LLaVA's forward does to its end
            take = (lambda index, output: None) if on_gpu else outputs.keep
            with each_output(twin.eval(), left, take):
                run(twin, inputs_embeds=embedded)
            del held
        return [ledger.peak_bytes - weights, ledger.flops]

    with torch.random.fork_rng(devices=[]), FakeTensorMode(), torch.no_grad():
        added, flops = at_full_depth(model, roles, measure)
    return AnalysisCost(added / GIB, flops * shape.batch / batch)
