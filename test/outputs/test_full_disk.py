"""An output folder on a disk that is full, in bytes or in files: one clear line, exit code 2, and nothing left behind."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from inference_helpers import MASK, PROBABILITIES, RESULTS, arguments, files_below

from model.images.volume import Grid

SHAPE = (24, 48, 40)
GRID = Grid(SHAPE, (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts file systems in memory, with the options given."""
    places = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here, which needs root")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def noisy_case(case_tree: Callable[..., Path]) -> Path:
    """A case whose mask and probabilities hardly compress: 10 and 150 kB."""
    rng = np.random.default_rng(0)
    return case_tree(np.full(SHAPE, 1200, np.float32), rng.normal(-2, 1, SHAPE).astype(np.float32), GRID)


def test_every_size_of_disk(main, noisy_case, disk, rule_weights, capfd):
    codes = []
    for pages in (1, 3, 5, 8, 20, 80):  # of 4 kB, the root folder has none
        output = disk(f"size={pages * 4096}")
        codes.append(main([*arguments(noisy_case, output, rule_weights), "--probabilities"]))
        err = capfd.readouterr().err
        if codes[-1] == 0:
            assert files_below(output) == sorted([MASK, PROBABILITIES, RESULTS])
        else:
            assert err.splitlines()[-1].startswith(f"error: {output}")
            assert "cannot be written" in err
            assert files_below(output) == []
    assert set(codes) == {0, 2}
    assert codes == sorted(codes, reverse=True)


@pytest.mark.parametrize(
    ("options", "says"), [("ro,size=10m", "Read-only file system"), ("size=4k", "No space left on device")]
)
def test_folder_of_cases_is_refused_before_the_weights_are_loaded(main, tmp_path, disk, capfd, options, says):
    """The second has room for names and none for bytes, and what lies there stays."""
    scans = tmp_path / "scans"
    (scans / "a").mkdir(parents=True)
    output = disk(options)
    if options.startswith("size"):
        (output / "notes.txt").write_bytes(bytes(4096))
    before = files_below(output)
    assert main([*arguments(scans, output, tmp_path / "no weights"), "--cases"]) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line == f"error: {output}: output cannot be written there ({says}: {output})"
    assert files_below(output) == before
