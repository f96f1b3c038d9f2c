"""Validates `train.deepspeed`, and makes the ZeRO section of DeepSpeed's config from it."""

from typing import Any

from lnt_core.errors import bad_field, nearest

Deepspeed = str | dict[str, Any] | None
"""Type of `train.deepspeed`: the name of a stage, a config of DeepSpeed's, or None."""
STAGES = {"zero1": 1, "zero2": 2, "zero3": 3}
OWN_KEYS = {
    "train_batch_size": "train.batch_size",
    "train_micro_batch_size_per_gpu": "train.micro_batch_size",
    "gradient_accumulation_steps": "train.batch_size",
    "gradient_clipping": "train.max_grad_norm",
    "optimizer": "train.weight_decay and the learning rate",
    "scheduler": "train.warmup_ratio",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "amp": "train.precision",
    "torch_autocast": "train.precision",
}
"""Keys of DeepSpeed's config that lnt sets itself, with the settings that they come from."""
BUCKET = 50_000_000
"""Number of elements that are reduced or gathered at once."""


def checked(value: Any) -> Deepspeed:
    """Validate a value of `train.deepspeed` and return it unchanged.

    Raises:
        ValueError: It is neither the name of a stage nor a config with a ZeRO stage, or the config
            has one of ``OWN_KEYS``.
    """
    if value is None or (isinstance(value, str) and value in STAGES):
        return value
    if not isinstance(value, dict):
        hint = nearest(value, STAGES)
        raise ValueError(
            f"{value!r} is neither one of zero1, zero2, zero3 nor a DeepSpeed config"
            + (f"; {hint}" if hint else "")
        )
    for key in OWN_KEYS.keys() & value.keys():
        raise ValueError(f"`{key}` is set from {OWN_KEYS[key]}: leave it out")
    zero = value.get("zero_optimization")
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if stage not in STAGES.values() or isinstance(stage, bool):
        raise ValueError(bad_field("`zero_optimization.stage`", stage, allowed="1, 2 or 3"))
    return value


def stage_of(deepspeed: Deepspeed) -> int:
    """The ZeRO stage; 0 without DeepSpeed.

    Example:
        >>> stage_of(None), stage_of("zero2"), stage_of({"zero_optimization": {"stage": 3}})
        (0, 2, 3)
    """
    if deepspeed is None:
        return 0
    if isinstance(deepspeed, str):
        return STAGES[deepspeed]
    return int(deepspeed["zero_optimization"]["stage"])


def zero_section(deepspeed: Deepspeed) -> dict[str, Any]:
    """The `zero_optimization` section: the user's values, with our defaults for the rest."""
    given = deepspeed["zero_optimization"] if isinstance(deepspeed, dict) else {}
    ours = {
        "stage": stage_of(deepspeed),
        "overlap_comm": False,
        "reduce_bucket_size": BUCKET,
        "allgather_bucket_size": BUCKET,
    }
    return ours | given


def offloads_optimizer(deepspeed: Deepspeed) -> bool:
    """Whether the optimizer is offloaded, so that its step runs on the CPU."""
    if not isinstance(deepspeed, dict):
        return False
    device = (deepspeed["zero_optimization"].get("offload_optimizer") or {}).get("device", "none")
    return str(device) != "none"
