"""The picture of a report in the README: the phantom's, as a headless Chromium shows it.

python test/report_figure.py docs/figures/report.png
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only this folder is on the path

from report_helpers import open_browser, wait_for_viewer, write_phantom_report


def take_picture(path: Path) -> None:
    """Write the upper part of the phantom's report as PNG."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        report = Path(folder) / "report.html"
        write_phantom_report(report)
        page = browser.new_page(viewport={"width": 1120, "height": 1660})
        page.goto(report.as_uri())
        wait_for_viewer(page)
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="where to write the PNG file")
    take_picture(parser.parse_args().path)
