"""Environment variables: the only module that reads them."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lnt_core.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Settings from environment variables; none of them changes the result of a trial."""

    cache: Path
    """Folder of tiny models, drawn scenes and stage 1, shared by all sweeps: ``LNT_CACHE``."""
    tracking_uri: str | None
    """Tracking store of commands without ``--tracking-uri``: ``MLFLOW_TRACKING_URI``."""
    ray_address: str | None
    """Ray cluster of job commands without ``--address``: ``RAY_API_SERVER_ADDRESS``."""
    ray_token: str | None
    """Token of a Ray cluster with authentication: ``RAY_AUTH_TOKEN``, else the content of the file
    ``RAY_AUTH_TOKEN_PATH``, else that of ``~/.ray/auth_token``; the same order as in Ray."""


def environment_of(names: Sequence[str]) -> dict[str, str]:
    """The values of these environment variables, by name.

    Raises:
        ConfigError: One of them is not set.
    """
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ConfigError(f"--env {missing[0]}: no such environment variable is set")
    return {name: os.environ[name] for name in names}


def environment_with(**variables: str) -> dict[str, str]:
    """This process's environment variables with others added, for a program that it starts."""
    return os.environ | variables


def cxx_compiler() -> str:
    """The C++ compiler that torch and DeepSpeed call: ``CXX``, by default ``c++``."""
    return os.environ.get("CXX") or "c++"


def read_settings() -> Settings:
    """The settings of the current environment."""
    cache = os.environ.get("LNT_CACHE")
    return Settings(
        cache=Path(cache) if cache else Path.home() / ".cache" / "lnt",
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
        ray_address=os.environ.get("RAY_API_SERVER_ADDRESS"),
        ray_token=_ray_token(),
    )


def _ray_token() -> str | None:
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return file.read_text(encoding="utf-8").strip() or None if file.is_file() else None


def quiet_libraries() -> None:
    """Set the libraries' own environment variables, unless set; call this before importing them."""
    defaults = {
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the tracker's thread retries instead
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "RAY_AIR_NEW_OUTPUT": "0",  # the new output ignores verbose=0
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial reports no score
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "600",  # a stopped trial may finish its step
        "TUNE_MAX_PENDING_TRIALS_PG": "200",  # Ray's own for a grid; the queue holds TPE back
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def quiet_transformers() -> None:
    """Turn off transformers' progress bars and warnings, and DeepSpeed's message on CPU machines.

    PEFT imports DeepSpeed if it is installed.
    """
    import transformers

    logging.getLogger("DeepSpeed").addFilter(
        lambda record: "Setting accelerator to CPU" not in record.getMessage()
    )
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
