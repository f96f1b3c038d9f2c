"""The only reader of the environment."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lnt_core.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """What the environment may change; nothing here changes a result."""

    cache: Path
    """Tiny models, drawn scenes, stage 1: shared by every sweep. ``LNT_CACHE``."""
    tracking_uri: str | None
    """Where `lnt best` and the like read, if not told: ``MLFLOW_TRACKING_URI``."""
    ray_address: str | None
    """Where jobs go, if not told: ``RAY_API_SERVER_ADDRESS``, as for Ray's own `ray job`."""
    ray_token: str | None
    """Of a Ray cluster with authentication: ``RAY_AUTH_TOKEN``, else the content of the file that
    ``RAY_AUTH_TOKEN_PATH`` names, else of ``~/.ray/auth_token``; Ray's own order."""
    tracking_user: str | None
    """By whose name MLflow is asked: ``MLFLOW_TRACKING_USERNAME``; for messages alone."""


def environment_of(names: Sequence[str]) -> dict[str, str]:
    """The variables of these names, to be passed on.

    Raises:
        ConfigError: One is not set.
    """
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ConfigError(f"--env {missing[0]}: no variable of that name is set here")
    return {name: os.environ[name] for name in names}


def read_settings() -> Settings:
    """Read the environment once, at the start of a command."""
    cache = os.environ.get("LNT_CACHE")
    return Settings(
        cache=Path(cache) if cache else Path.home() / ".cache" / "lnt",
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
        ray_address=os.environ.get("RAY_API_SERVER_ADDRESS"),
        ray_token=_ray_token(),
        tracking_user=os.environ.get("MLFLOW_TRACKING_USERNAME"),
    )


def _ray_token() -> str | None:
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return file.read_text(encoding="utf-8").strip() or None if file.is_file() else None


def quiet_libraries() -> None:
    """Set what the libraries read from the environment, before they are imported."""
    defaults = {
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the tracker's thread does the trying again
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "RAY_AIR_NEW_OUTPUT": "0",  # the new output ignores verbose=0
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial reports no score
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600",  # a stopped trial may finish its step
        "TUNE_MAX_PENDING_TRIALS_PG": "200",  # as for a grid; the queue itself holds TPE back
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def quiet_transformers() -> None:
    """Without its progress bars and its warnings of what we do on purpose.

    DeepSpeed, where it is installed, is imported with PEFT, and would say that there is no GPU.
    """
    import transformers

    logging.getLogger("DeepSpeed").addFilter(
        lambda record: "Setting accelerator to CPU" not in record.getMessage()
    )
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
