import io

from rich.console import Console

from sweeps.console import PlainTable, say

WORDS = "lora (target_modules=[q_proj, v_proj])"


def printed(what) -> str:
    console = Console(file=io.StringIO(), width=80)
    what(console)
    return console.file.getvalue()


def test_a_list_in_a_cell_is_no_markup() -> None:
    table = PlainTable("strategy", "lr")
    table.add_row(WORDS, "1e-3", style="dim")
    assert WORDS in printed(lambda console: console.print(table))


def test_a_line_is_printed_as_it_is() -> None:
    line = f"{WORDS} " * 9
    assert printed(lambda console: say(console, line)) == f"{line}\n"
