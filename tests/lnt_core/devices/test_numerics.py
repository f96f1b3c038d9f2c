"""Torch's global switches are those of the trial that runs, whatever ran before it."""

import os

import pytest
import torch

from lnt_core.devices.numerics import settle_numerics
from lnt_core.errors import TrialError


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setenv("FLASH_ATTENTION_DETERMINISTIC", "0")
    yield
    settle_numerics("cpu", "fp32")


def switches() -> dict[str, object]:
    return {
        "products": torch.backends.cuda.matmul.allow_tf32,
        "convolutions": torch.backends.cudnn.conv.fp32_precision == "tf32",
        "recurrent": torch.backends.cudnn.rnn.fp32_precision == "tf32",
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "flash_attn": os.environ["FLASH_ATTENTION_DETERMINISTIC"] == "1",
    }


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_without_tf32_convolutions_have_none_either(precision) -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    settle_numerics("cuda", precision)
    assert not any(switches().values())


def test_tf32_is_for_products_and_convolutions_until_the_next_trial() -> None:
    settle_numerics("cuda:0", "tf32", deterministic=True)
    assert all(switches().values())
    settle_numerics("cuda:0", "fp32")
    assert not any(switches().values())


def test_a_cpu_has_no_tf32() -> None:
    with pytest.raises(TrialError, match="only NVIDIA GPUs have"):
        settle_numerics("cpu", "tf32")
