"""Predicts the memory of captioning, which can exceed that of training if little is trained."""

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lnt_core.accounting.depth import at_full_depth
from lnt_core.accounting.ledger import Ledger
from lnt_core.accounting.step import StepShape, embed
from lnt_core.devices.memory import GIB
from lnt_core.models.roles import Roles


def predict_generation_gib(
    model: nn.Module, roles: Roles, shape: StepShape, *, max_new_tokens: int, bf16: bool
) -> float:
    """Peak GiB that generation adds to the weights.

    The peak is that of the forward pass over the prompts, or of the key/value cache at full length.

    Args:
        model: The tuned model, on any device.
        roles: Roles of the base model.
        shape: Shape of a batch of prompts; ``answer_tokens`` is ignored.
        max_new_tokens: Generated tokens per image.
        bf16: Run under bfloat16 autocast.
    """
    depth = len(roles.blocks)

    def measure(twin: nn.Module) -> list[int]:
        ledger = Ledger()
        with ledger, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for tensor in (*twin.parameters(), *twin.buffers()):
                ledger.add(tensor)
            weights = ledger.live_bytes
            outputs = twin.eval()(
                inputs_embeds=embed(twin, roles, shape),
                attention_mask=torch.ones(shape.batch, shape.tokens, dtype=torch.long),
                logits_to_keep=1,
                use_cache=True,
            )
            cache: int = sum(
                tensor.numel() * tensor.element_size()
                for layer in outputs.past_key_values.layers
                for tensor in (layer.keys, layer.values)
                if tensor is not None
            )
        return [cache, ledger.peak_bytes - weights]

    with torch.random.fork_rng(devices=[]), FakeTensorMode(), torch.no_grad():
        cache, prompts = at_full_depth(model, roles, measure)
    grown = cache * (shape.tokens + max_new_tokens) / shape.tokens
    longest_layer = grown / depth  # copied when a token is appended
    return max(prompts, grown + longest_layer) / GIB
