"""The picture of a report in the README: the built-in case's, as a headless Chromium shows it.

.venv/bin/python test/report_figure.py docs/figures/report.png
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only this folder is on the path

from report_helpers import open_browser, open_page

import process
from training.common.cli import run
from training.common.outputs import require_own_file

SIZE = {"width": 1280, "height": 1130}
CASE = Path(__file__).resolve().parent / "case" / "input"


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG as `take_picture` writes it. Raises OSError."""
    with Image.open(path) as image:
        return (image.format, image.size, image.info) == ("PNG", tuple(SIZE.values()), {})


def take_picture(path: Path) -> None:
    """Segment the built-in case and write the upper part of its report as PNG, its first lesions decided."""
    require_own_file(path, is_picture, "an earlier picture")
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        words = ["--input", str(CASE), "--output", folder, "--device", "cpu", "--report"]
        if process.main(words):
            sys.exit(1)
        page = browser.new_page(viewport=SIZE)
        open_page(page, Path(folder) / "report.html")
        for key in "nxxkkpp":
            page.keyboard.press(key)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(1000)  # the next frame
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="where to write the PNG file")
    take_picture(parser.parse_args().path)


if __name__ == "__main__":
    run(main)
