"""`lnt report`: a sweep's report as an HTML page, Markdown or a LaTeX table."""

import argparse
from pathlib import Path

from lnt_core.errors import ConfigError
from lnt_core.paths import is_folder, shown
from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.results.captions import captions_in_store
from sweeps.results.read import read_sweep
from sweeps.results.report.content import gather
from sweeps.results.report.write import write_report
from sweeps.tracking.store import connect
from sweeps.validation import check_output, create_output

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
    out = args.out or (Path(f"{args.name}.html") if form == "html" else None)
    if out is not None:
        check_output(out.parent)
        if is_folder(out):
            raise ConfigError(f"-o is {shown(out)!r}, which is a folder; give the name of a file")
    client = connect(tracking_uri(args))
    content = gather(client, read_sweep(client, args.name), captions_in_store(client))
    text = write_report(content, form)
    if out is None:
        print(text, end="")
        return EXIT_DONE
    create_output(out.parent)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown(out)} cannot be written: {error.strerror}") from error
    print(out)
    return EXIT_DONE


def _form_of(out: Path | None) -> str:
    endings = {ending: form for form, ending in FORMATS.items()}
    return endings.get(out.suffix, "html") if out else "html"
