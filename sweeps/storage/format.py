"""The number of the format in which executions, runs and exports are written."""

from lnt_core.errors import ConfigError

FORMAT = 1
"""Raised whenever what an older version wrote can no longer be read. In `execution.json`, in the
tag `lnt.format` of a sweep's run, and in `best.yaml`."""


def check_format(found: object, what: str) -> None:
    """Refuse what is written in another format.

    Args:
        found: The number that stands in it; None if none does.
        what: What it is, for the message.

    Raises:
        ConfigError: The number is not :data:`FORMAT`.
    """
    if str(found) != str(FORMAT):
        told = "no format number" if found is None else f"format {found}"
        raise ConfigError(
            f"{what} has {told}, and this version of lnt reads format {FORMAT}: use the version "
            "that wrote it, or run the sweep again"
        )
