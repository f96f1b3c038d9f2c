"""Counted FLOPs."""

import torch
from torch import nn

from lnt_core.accounting.ledger import Ledger


def test_flops_of_a_linear_layer_are_two_a_weight_and_token() -> None:
    layer, ledger = nn.Linear(32, 16, bias=False), Ledger()
    with ledger:
        layer(torch.zeros(10, 32, requires_grad=True)).sum().backward()
    assert ledger.flops == 3 * 2 * 10 * 32 * 16  # forward, to the input, to the weight
