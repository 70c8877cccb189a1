"""One server, many cases: every mask as a run-once process writes it, memory flat, bad cases in between answered and gone.

    .venv/bin/python test/soak.py --invocations 200

Cases of four sizes take turns; every tenth is damaged, and in the end two are asked for at once. Exit code 1 and a line that
says WRONG when not.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from http_helpers import ask
from inference_helpers import ADC_FOLDER, MASK, RESULTS, ZADC_FOLDER, files_below
from phantom import make_phantom, write_image

from model.images.volume import Grid

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((6, 40, 40), (12, 60, 50), (18, 50, 64), (3, 64, 60))  # (z, y, x)
GROWTH = 1.05  # of memory, between the second and the last quarter of the invocations
ON_A_FREE_PORT = "import functools, process; process.serve = functools.partial(process.serve, port=0); process.main()"
ENVIRONMENT = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


def start(work: Path) -> tuple[subprocess.Popen, int]:
    """The server, once it is ready, and its port."""
    words = [sys.executable, "-c", ON_A_FREE_PORT, "--serve", "--device", "cpu"]
    words += ["--input", str(work / "input"), "--output", str(work / "output")]
    log = (work / "log").open("w")
    server = subprocess.Popen(words, env=ENVIRONMENT, stdout=log, stderr=log, cwd="/")
    while "ready on port" not in (work / "log").read_text():
        time.sleep(0.1)
    return server, int((work / "log").read_text().split("ready on port ")[1].split()[0])


def once(case: Path, output: Path) -> Path:
    words = [sys.executable, str(ROOT / "process.py"), "--input", str(case), "--output", str(output), "--device", "cpu"]
    subprocess.run(words, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return output


def memory_mb(pid: int) -> float:
    """Resident memory of the server's process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def listening_ports(pid: int) -> set[int]:
    """TCP and UDP ports that the process itself listens on."""
    sockets = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in sockets and words[3] in ("0A", "07"):  # listening; bound
                ports.add(int(words[1].split(":")[1], 16))
    return ports


def write_cases(folder: Path) -> list[Path]:
    """Pieces of the phantom, some with lesions, of SIZES."""
    phantom = make_phantom()
    for number, (z, y, x) in enumerate(SIZES):
        piece = (slice(15 - z // 2, 15 - z // 2 + z), slice(12, 12 + y), slice(4, 4 + x))
        grid = Grid((z, y, x), phantom.grid.spacing_mm, (10.0 * number, 0.0, 0.0), phantom.grid.direction)
        for voxels, where in ((phantom.adc, ADC_FOLDER), (phantom.zadc, ZADC_FOLDER)):
            (folder / f"case{number}" / where).mkdir(parents=True)
            write_image(np.ascontiguousarray(voxels[piece]), grid, folder / f"case{number}" / where / "map.mha")
    return sorted(folder.iterdir())


def place(case: Path, folder: Path, damaged: bool = False) -> None:
    """Put a case into the server's input folder, in place of what is there."""
    for path in folder.iterdir():
        shutil.rmtree(path)
    shutil.copytree(case, folder, dirs_exist_ok=True)
    if damaged:
        path = folder / ADC_FOLDER / "map.mha"
        path.write_bytes(path.read_bytes()[:-200])


def soak(server: subprocess.Popen, port: int, work: Path, cases: list[Path], wanted: list[bytes], count: int) -> list[float]:
    """Invoke `count` times; the memory after each. Raises AssertionError at the first wrong answer."""
    memory = []
    for number in range(count):
        damaged, which = number % 10 == 9, number % len(cases)
        place(cases[which], work / "input", damaged)
        status, reason = ask(port, "POST", "/invoke")
        if damaged:
            assert (status, "cut off" in reason) == (422, True), (status, reason)
            assert files_below(work / "output") == []
        else:
            assert status == 201, (status, reason)
            assert files_below(work / "output") == [MASK, RESULTS]
            assert (work / "output" / MASK).read_bytes() == wanted[which], f"invocation {number}: another mask"
        memory.append(memory_mb(server.pid))
    return memory


def check(work: Path, count: int) -> None:
    cases = write_cases(work / "cases")
    (work / "input").mkdir()
    outputs = [once(case, work / "once" / case.name) for case in cases]
    wanted = [(output / MASK).read_bytes() for output in outputs]
    lesions = [json.loads((output / RESULTS).read_text())["lesions"] for output in outputs]
    server, port = start(work)
    try:
        assert ask(port, "GET", "/health")[0] == 200
        memory = soak(server, port, work, cases, wanted, count)
        place(cases[0], work / "input")
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(ask, port, "POST", "/invoke") for _ in range(2)]
        assert [one.result()[0] for one in answers] == [201, 201]
        assert (work / "output" / MASK).read_bytes() == wanted[0]
        assert listening_ports(server.pid) == {port}
        quarter = count // 4
        before, after = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
        assert after <= before * GROWTH, f"memory grew from {before:.0f} to {after:.0f} MiB"
    finally:
        server.terminate()
        code = server.wait(30)
    assert code == 143, f"SIGTERM ended the server with {code}"
    print(f"{count} invocations, {lesions} lesions in the cases, memory {before:.0f} and {after:.0f} MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invocations", type=int, default=200, help="default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            check(Path(folder), args.invocations)
        except AssertionError as error:
            print(f"WRONG: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
