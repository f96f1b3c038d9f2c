"""What an ended trial leaves in its folder: how it ended, captions, analysis, weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.config import TrialConfig
from lnt_core.errors import DamagedError
from lnt_core.files import checksums, damaged_files, read_json, set_aside, write_json
from lnt_core.identity import trial_id

WEIGHTS = "weights"
ENDED = "ended.json"
"""The trial's `TrialResult`, for a caller that died before it had written it down."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended, and what it scored."""

    status: str
    """``finished`` or ``diverged``; only a finished trial has scores."""
    steps: int
    metrics: dict[str, float]
    """``select/cider`` and everything else measured at the end, by the names in MLflow."""
    files: dict[str, str] = field(default_factory=dict)
    """Checksums of answers, analysis and weights, by their paths in the trial's folder."""
    note: str = ""
    """What its user should know: that it was not analysed, and why."""


def write_result(result: TrialResult, config: TrialConfig, out: Path) -> None:
    """Write how the trial in ``out`` has ended."""
    write_json(out / ENDED, {"trial": _identity(config)} | asdict(result))


def forget_result(out: Path) -> None:
    """Delete how an earlier run of the trial in ``out`` has ended."""
    (out / ENDED).unlink(missing_ok=True)


def ended(config: TrialConfig, out: Path) -> TrialResult | None:
    """How the trial in ``out`` has ended; None if it has not, or if something it left is lost.

    Its weights may have been deleted. Damaged ones are set aside.
    """
    path = out / ENDED
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except DamagedError as error:
        set_aside(path, error.why, "the trial is run again")
        return None
    if content.pop("trial") != _identity(config):  # left by another trial
        return None
    result = TrialResult(**content)
    if lost_files(out, result.files):
        return None
    has_weights(out, result.files)
    return result


def _identity(config: TrialConfig) -> str:
    """What a trial's attempts have in common, with more memory or less."""
    return trial_id(config.with_micro_batch(1).with_checkpointing(on=False))


def lost_files(out: Path, files: Mapping[str, str]) -> list[str]:
    """Captions and analyses of an ended trial that are missing or damaged; these are set aside.

    Args:
        out: The trial's folder.
        files: ``TrialResult.files``.
    """
    lost = damaged_files(out, {name: files[name] for name in files if not _of_weights(name)})
    for name in lost:
        if (out / name).exists():
            set_aside(out / name, "its checksum is another", "the trial is run again")
    return lost


def has_weights(out: Path, files: Mapping[str, str]) -> bool:
    """Whether an ended trial has its weights; they are set aside if they are damaged.

    Args:
        out: The trial's folder.
        files: ``TrialResult.files``.
    """
    if not (out / WEIGHTS).exists():
        return False
    bad = damaged_files(out, {name: files[name] for name in files if _of_weights(name)})
    if bad:
        set_aside(out / WEIGHTS, bad[0], "the trial is run again if it wins")
    return not bad


def _of_weights(name: str) -> bool:
    return name.startswith(f"{WEIGHTS}/")


def left_in(out: Path) -> dict[str, str]:
    """Checksums of what the trial has left in its folder."""
    kinds = ("captions_*.jsonl", "answers_*.jsonl", ANALYSIS, f"{WEIGHTS}/*")
    return checksums(out, (path for kind in kinds for path in out.glob(kind) if path.is_file()))
