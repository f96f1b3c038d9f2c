"""`lnt report`: what a sweep found, as a page, Markdown or a LaTeX table."""

import argparse
from pathlib import Path

from sweeps.cli_arguments import Command, name_argument, tracking_uri

FORMATS = {"html": ".html", "md": ".md", "latex": ".tex"}
"""With the ending of their files."""


def add_report_command(command: Command) -> None:
    """Add it."""
    report = command("report", _report, "a self-contained page of what a sweep found")
    name_argument(report)
    report.add_argument(
        "-o",
        dest="out",
        type=Path,
        metavar="FILE",
        help="where to; left out, NAME.html, while md and latex are printed",
    )
    report.add_argument("--format", choices=FORMATS, help="left out: by FILE's ending, or html")


def _report(args: argparse.Namespace) -> int:
    from sweeps.results.captions import captions_in_store
    from sweeps.results.read import read_sweep
    from sweeps.results.report.content import gather
    from sweeps.results.report.write import write_report
    from sweeps.tracking.store import connect

    form = args.format or _form_of(args.out)
    client = connect(tracking_uri(args))
    content = gather(client, read_sweep(client, args.name), captions_in_store(client))
    text = write_report(content, form)
    out = args.out or (Path(f"{args.name}.html") if form == "html" else None)
    if out is None:
        print(text, end="")
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(out)
    return 0


def _form_of(out: Path | None) -> str:
    endings = {ending: form for form, ending in FORMATS.items()}
    return endings.get(out.suffix, "html") if out else "html"
