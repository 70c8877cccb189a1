"""How long the page of a folder takes to open in a headless Chromium, with a picture for every case.

The cases are the phantom under many names. The time is from the call that opens the page to the frame after its last picture
is decoded, the median of several openings. A sort and a filter are timed too.

    .venv/bin/python test/index_speed.py --cases 200
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only this folder is on the path

from report_helpers import open_browser, write_phantom_report

from model.report.folder_page import write_index
from model.report.thumbnail import FIRST_BYTES

FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
PICTURES = "() => Promise.all([...document.images].map((image) => image.decode()))"


def write_pages(folder: Path, cases: int) -> Path:
    """The index, and as much of every case's report as it reads."""
    results = write_phantom_report(folder / "phantom.html")
    head, entries = (folder / "phantom.html").read_bytes()[:FIRST_BYTES], []
    for number in range(cases):
        name = f"case {number:03}"
        (folder / name).mkdir()
        (folder / name / "report.html").write_bytes(head)
        of_case = results | {"lesion_volume_ml": 0.1 * (number * 7919 % 997)}
        entries.append({"case": name, "status": "done", "reason": "", "results": of_case, "report": f"{name}/report.html"})
    write_index(folder / "index.html", entries)
    return folder / "index.html"


STEPS = {
    "open": lambda page, index: (page.goto(index.as_uri()), page.evaluate(PICTURES)),
    "sort": lambda page, index: page.evaluate("document.querySelectorAll('#cases thead button')[1].click()"),
    "filter": lambda page, index: page.fill("#filter", "case 01"),
}


def measure(index: Path, repeats: int) -> dict[str, float]:
    """Median seconds of every step, until the next frame."""
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    with open_browser() as browser:
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            for name, step in STEPS.items():
                started = time.perf_counter()
                step(page, index)
                page.evaluate(FRAME)
                seconds[name].append(time.perf_counter() - started)
            page.close()
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="of the folder (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="openings (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = write_pages(Path(folder), args.cases)
        print(f"{args.cases} cases, {index.stat().st_size / 1e6:.1f} MB")
        for name, value in measure(index, args.repeats).items():
            print(f"{name}: {value:.2f} s")


if __name__ == "__main__":
    main()
