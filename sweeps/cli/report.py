"""`lnt report`: a sweep's report as an HTML page, Markdown or a LaTeX table."""

import argparse
from pathlib import Path

from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.results.captions import captions_in_store
from sweeps.results.read import read_sweep
from sweeps.results.report.content import gather
from sweeps.results.report.write import write_report
from sweeps.tracking.store import connect

FORMATS = {"html": ".html", "md": ".md", "latex": ".tex"}
"""File suffix of each format."""


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt report`."""
    name_argument(parser)
    parser.add_argument(
        "-o",
        dest="out",
        type=Path,
        metavar="FILE",
        help="output file (default: NAME.html; md and latex are printed)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="format (default: by FILE's suffix, else html)"
    )
    parser.set_defaults(command=_report)


def _report(args: argparse.Namespace) -> int:
    form = args.format or _form_of(args.out)
    client = connect(tracking_uri(args))
    content = gather(client, read_sweep(client, args.name), captions_in_store(client))
    text = write_report(content, form)
    out = args.out or (Path(f"{args.name}.html") if form == "html" else None)
    if out is None:
        print(text, end="")
        return EXIT_DONE
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(out)
    return EXIT_DONE


def _form_of(out: Path | None) -> str:
    endings = {ending: form for form, ending in FORMATS.items()}
    return endings.get(out.suffix, "html") if out else "html"
