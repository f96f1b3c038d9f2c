"""The only reader of the environment."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What the environment may change; nothing here changes a result."""

    cache: Path
    """Tiny models, drawn scenes, stage 1: shared by every sweep. ``LNT_CACHE``."""
    tracking_uri: str | None
    """Where `lnt best` and the like read, if not told: ``MLFLOW_TRACKING_URI``."""
    tracking_user: str | None
    """By whose name MLflow is asked: ``MLFLOW_TRACKING_USERNAME``; for messages alone."""


def read_settings() -> Settings:
    """Read the environment once, at the start of a command."""
    cache = os.environ.get("LNT_CACHE")
    return Settings(
        cache=Path(cache) if cache else Path.home() / ".cache" / "lnt",
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
        tracking_user=os.environ.get("MLFLOW_TRACKING_USERNAME"),
    )


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
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
