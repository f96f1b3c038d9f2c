"""What a model makes of the answer tokens of a batch: the loss it learns from, nats to score."""

import contextlib

import torch
from torch import Tensor, nn

from lnt_core.data.conversation import IGNORE
from lnt_core.training.batches import Batch


def answer_loss(
    model: nn.Module, batch: Batch, *, num_answer_tokens: int, bf16: bool = False
) -> Tensor:
    """Cross-entropy of one micro-batch's answer tokens, as its part of the step's mean loss.

    The sum is divided by the number of answer tokens in the whole optimizer step, so that the
    losses of the micro-batches add up to the exact mean.

    Args:
        model: Returns logits of shape (B, T', V) for the last T' positions.
        batch: B conversations of T tokens.
        num_answer_tokens: Number of labels other than ``IGNORE`` in the whole step.
        bf16: Run the model under bfloat16 autocast; the loss itself is computed in float32.

    Returns:
        Scalar float32, in nats.

    Raises:
        ValueError: The step has no answer tokens.

    Source:
        Liu et al., Visual Instruction Tuning, arXiv:2304.08485: only answers enter the loss.
    """
    if num_answer_tokens == 0:
        raise ValueError("no sample of this batch has an answer token to learn from")
    logits, targets = _from_first_answer(model, batch, bf16=bf16)
    loss = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return loss / num_answer_tokens


def answer_nats(model: nn.Module, batch: Batch, *, bf16: bool = False) -> list[float]:
    """The sum of nats over the answer tokens of each of B conversations, in float32.

    Args:
        model: Returns logits of shape (B, T', V) for the last T' positions.
        batch: B conversations of T tokens, each with an answer token.
        bf16: Run the model under bfloat16 autocast.
    """
    with torch.no_grad():
        logits, targets = _from_first_answer(model, batch, bf16=bf16)
        nats = nn.functional.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=IGNORE, reduction="none"
        )
    summed: list[float] = nats.double().sum(dim=1).tolist()
    return summed


def _from_first_answer(model: nn.Module, batch: Batch, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """Logits from the position before the first answer token of the batch on.

    Returns:
        Logits (B, T', V), and for each the token that it predicts (B, T'), the next one;
        ``IGNORE`` where that is no answer token.
    """
    device = next(model.parameters()).device
    first = int((batch.labels != IGNORE).any(dim=0).nonzero()[0])
    keep = batch.labels.shape[1] - max(first - 1, 0)
    context = torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    with context:
        logits = model(**batch.inputs(device), logits_to_keep=keep, use_cache=False).logits
    labels = batch.labels[:, -keep:].to(device, non_blocking=True)
    # the labels are shifted: a part of the logits would be a copy
    return logits, nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)
