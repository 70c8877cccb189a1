"""One server, many cases: every mask as a run-once process writes it, memory flat, bad cases in between answered and gone.

    .venv/bin/python test/soak.py --invocations 200                       the server as a process of this machine
    .venv/bin/python test/soak.py --invocations 200 --image hie-lesions   the images hie-lesions and hie-lesions-invoke

Cases of four sizes take turns; every tenth is damaged, and in the end two are asked for at once. In containers
everything runs under the challenge's own flags with a read-only root. Exit code 1 and a line that says WRONG when not.
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
from inference_helpers import ADC_FOLDER, MASK, RESULTS, ZADC_FOLDER, files_below
from phantom import make_phantom, write_image

from model.images.volume import Grid

ROOT = Path(__file__).resolve().parents[1]
FLAGS = (
    *("--memory=4g", "--memory-swap=4g", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--shm-size=128m", "--pids-limit=256", "--read-only", "--tmpfs", "/tmp"),
)
SIZES = ((6, 40, 40), (12, 60, 50), (18, 50, 64), (3, 64, 60))  # (z, y, x)
GROWTH = 1.05  # of memory, between the second and the last quarter of the invocations
PORT = 4743
ON_A_FREE_PORT = "import functools, process; process.serve = functools.partial(process.serve, port=0); process.main()"
REQUEST = """
import sys, urllib.error, urllib.request as http
method, url = sys.argv[1:]
try:
    answer = http.urlopen(http.Request(url, method=method), timeout=300)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode().strip())
"""


class Process:
    """The server and run-once runs as processes."""

    def __init__(self, work: Path) -> None:
        self.work, self.environment = work, os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}

    def start(self) -> None:
        words = [sys.executable, "-c", ON_A_FREE_PORT, "--serve", "--device", "cpu"]
        words += ["--input", str(self.work / "input"), "--output", str(self.work / "output")]
        log = (self.work / "log").open("w")
        self.server = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, cwd="/")
        self.pid = self.server.pid
        while "ready on port" not in (self.work / "log").read_text():
            time.sleep(0.1)
        self.port = int((self.work / "log").read_text().split("ready on port ")[1].split()[0])

    def ask(self, method: str, path: str) -> tuple[int, str]:
        words = [sys.executable, "-S", "-c", REQUEST, method, f"http://localhost:{self.port}{path}"]
        return answer(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    def once(self, case: Path, output: Path) -> None:
        words = [sys.executable, str(ROOT / "process.py"), "--input", str(case), "--output", str(output), "--device", "cpu"]
        subprocess.run(words, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> int:
        self.server.terminate()
        return self.server.wait(30)


class Container(Process):
    """The same in containers."""

    def __init__(self, work: Path, image: str) -> None:
        super().__init__(work)
        self.image, self.port = image, PORT

    def start(self) -> None:
        folders = ["-v", f"{self.work}/input:/input:ro", "-v", f"{self.work}/output:/output"]
        self.name = docker("run", "-d", *FLAGS, *folders, f"{self.image}-invoke")
        self.pid = int(docker("inspect", "-f", "{{.State.Pid}}", self.name))
        for _ in range(300):
            if "ready on port" in docker("logs", self.name):
                return
            time.sleep(0.2)
        raise TimeoutError("the server is not ready after a minute")

    def ask(self, method: str, path: str) -> tuple[int, str]:
        url = f"http://localhost:{PORT}{path}"
        return answer(docker("exec", self.name, "python", "-S", "-c", REQUEST, method, url))

    def once(self, case: Path, output: Path) -> None:
        output.mkdir(mode=0o777)
        output.chmod(0o777)
        docker("run", "--rm", *FLAGS, "-v", f"{case}:/input:ro", "-v", f"{output}:/output", self.image)

    def stop(self) -> int:
        docker("stop", "--time", "30", self.name)
        code = int(docker("inspect", "-f", "{{.State.ExitCode}}", self.name))
        docker("rm", self.name)
        for folder in ("output", "once"):  # the files belong to the container's user
            docker(*f"run --rm --user 0:0 -v {self.work}:/w --entrypoint rm {self.image} -rf /w/{folder}".split())
        return code


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def answer(line: str) -> tuple[int, str]:
    status, _, reason = line.strip().partition(" ")
    return int(status), reason


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


def soak(service: Process, work: Path, cases: list[Path], wanted: list[bytes], count: int) -> list[float]:
    """Invoke `count` times; the memory after each. Raises AssertionError at the first wrong answer."""
    memory = []
    for number in range(count):
        damaged, which = number % 10 == 9, number % len(cases)
        place(cases[which], work / "input", damaged)
        status, reason = service.ask("POST", "/invoke")
        if damaged:
            assert (status, "cut off" in reason) == (422, True), (status, reason)
            assert files_below(work / "output") == []
        else:
            assert status == 201, (status, reason)
            assert files_below(work / "output") == [MASK, RESULTS]
            assert (work / "output" / MASK).read_bytes() == wanted[which], f"invocation {number}: another mask"
        memory.append(memory_mb(service.pid))
    return memory


def both_at_once(service: Process) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(service.ask, "POST", "/invoke") for _ in range(2)]
        assert [one.result()[0] for one in answers] == [201, 201]


def check(service: Process, work: Path, count: int) -> None:
    cases = write_cases(work / "cases")
    for name in ("input", "output"):
        (work / name).mkdir()
        (work / name).chmod(0o777)
    (work / "once").mkdir()
    for case in cases:
        service.once(case, work / "once" / case.name)
    wanted = [(work / "once" / case.name / MASK).read_bytes() for case in cases]
    lesions = [json.loads((work / "once" / case.name / RESULTS).read_text())["lesions"] for case in cases]
    service.start()
    try:
        assert service.ask("GET", "/health")[0] == 200
        memory = soak(service, work, cases, wanted, count)
        place(cases[0], work / "input")
        both_at_once(service)
        assert (work / "output" / MASK).read_bytes() == wanted[0]
        ports = listening_ports(service.pid)
        assert ports == {service.port}, ports
        quarter = count // 4
        before, after = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
        assert after <= before * GROWTH, f"memory grew from {before:.0f} to {after:.0f} MiB"
    finally:
        code = service.stop()
    assert code == 143, f"SIGTERM ended the server with {code}"
    print(
        f"{count} invocations ({count // 10} of damaged cases: 422 and nothing left), {lesions} lesions in the cases,",
        end=" ",
    )
    print(f"every mask the run-once one; memory {before:.0f} MiB in the second quarter, {after:.0f} in the last,", end=" ")
    print(f"most {max(memory):.0f} MiB; two at once: both 201; listens on {service.port} alone; SIGTERM: 143")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invocations", type=int, default=200, help="of the server (default: %(default)s)")
    parser.add_argument("--image", help="run in containers of this image and of IMAGE-invoke")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        try:
            check(Container(work, args.image) if args.image else Process(work), work, args.invocations)
        except AssertionError as error:
            print(f"WRONG: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
