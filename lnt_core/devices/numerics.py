"""Number formats and determinism: torch's global switches, set for one trial after another."""

import os

import torch

from lnt_core.devices.chosen import is_gpu
from lnt_core.errors import TrialError


def settle_numerics(
    device: str | torch.device, precision: str, *, deterministic: bool = False
) -> None:
    """Set torch's switches for a stage of a trial; they hold until the next call.

    Args:
        device: The trial's.
        precision: `train.precision`. Only ``tf32`` allows TF32, in matrix products as well as in
            convolutions, where torch's own default allows it.
        deterministic: `train.deterministic`. Operations that would add in a random order are
            replaced by others, torch's attention included; where there is no other, torch raises.

    Raises:
        TrialError: The device has no TF32.
    """
    if precision == "tf32" and not is_gpu(device):
        raise TrialError(
            "train.precision is 'tf32', which only NVIDIA GPUs have; on CPU use 'fp32' or 'bf16'"
        )
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False  # it chooses an algorithm by time
    torch.use_deterministic_algorithms(deterministic)
    # transformers hands this to the flash_attn package at each call
    os.environ["FLASH_ATTENTION_DETERMINISTIC"] = str(int(deterministic))  # noqa: TID251


def numerics_in_force(device: torch.device) -> str:
    """The switches that a computation's digits depend on now, and what it runs on, in words.

    On a CPU, the number of threads decides how sums are split.
    """
    return str((
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled(device.type),
        (torch.cuda.get_device_name(device), torch.backends.cudnn.allow_tf32)
        if is_gpu(device)
        else (device.type, torch.get_num_threads()),
    ))  # fmt: skip
