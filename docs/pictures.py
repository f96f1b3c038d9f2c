"""Draws docs/images/ from a finished `demo`: ``python docs/pictures.py [TRACKING_URI]``.

``curve.png`` is the figure that a sweep draws at its end; ``report.png`` is the top of the page
that `lnt report` writes, as Chromium shows it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from sweeps.cli.arguments import DEFAULT_TRACKING_URI
from sweeps.results.captions import captions_in_store
from sweeps.results.plots import draw_curve
from sweeps.results.read import read_sweep
from sweeps.results.report.content import gather
from sweeps.results.report.write import write_report
from sweeps.settings import quiet_libraries
from sweeps.tracking.store import connect

SWEEP = "demo"
IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1100, 1550
"""Pixels of the page that are shown: down to the curves with bands."""
CHROMIUM = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


def main() -> None:
    """Draw both pictures."""
    quiet_libraries()
    client = connect(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_TRACKING_URI)
    sweep = read_sweep(client, SWEEP)
    IMAGES.mkdir(exist_ok=True)
    draw_curve(sweep, IMAGES / "curve.png")
    page = write_report(gather(client, sweep, captions_in_store(client)), "html")
    photograph(page, IMAGES / "report.png")
    for name in ("curve.png", "report.png"):
        with Image.open(IMAGES / name) as image:  # a palette makes it a third of the size
            image.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE).save(IMAGES / name)


def photograph(page: str, path: Path) -> None:
    """The top of an HTML page as PNG."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("docs/pictures.py needs `chromium` on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "report.html"
        html.write_text(page, encoding="utf-8")
        shown = (f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={path.resolve()}", html.as_uri())
        subprocess.run([chromium, *CHROMIUM, *shown], check=True, capture_output=True)


if __name__ == "__main__":
    main()
