"""Lines and tables printed for people."""

from typing import Any

from rich.box import Box
from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table
from rich.text import Text


def say(console: Console, line: str) -> None:
    """Print a line as it is, so that it can be copied, whatever the width of the terminal."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


class PlainTable(Table):
    """A table whose cells are shown as they are: to rich, ``[q_proj]`` is markup, not text.

    Without a ``box``, its columns are two spaces apart.
    """

    def __init__(self, *headers: str, box: Box | None = None, **options: Any) -> None:
        if box is None:
            options["padding"] = (0, 2, 0, 0)
        super().__init__(*headers, box=box, **options)

    def add_row(
        self,
        *cells: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row; see `rich.table.Table.add_row`."""
        plain = (Text(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain, style=style, end_section=end_section)
