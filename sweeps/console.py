"""Lines printed for people."""

from rich.console import Console


def say(console: Console, line: str) -> None:
    """Print a line as it is, so that it can be copied, whatever the width of the terminal."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
