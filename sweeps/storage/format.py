"""The format number of executions, MLflow runs and exports, and its check."""

from lnt_core.errors import ConfigError

FORMAT = 3
"""Incremented when files of an older version can no longer be read. Written to `execution.json`, to
the tag `lnt.format` of a sweep's parent run, and to `best.yaml`."""


def check_format(found: object, what: str) -> None:
    """Refuse what was written in another format.

    Args:
        found: Its format number, or None if it has none.
        what: Its description, for the error message.

    Raises:
        ConfigError: The number is not :data:`FORMAT`.
    """
    if str(found) != str(FORMAT):
        told = "no format number" if found is None else f"format {found}"
        raise ConfigError(
            f"{what} has {told}, but this version of lnt reads format {FORMAT}: use the version "
            "that wrote it, or run the sweep again"
        )
