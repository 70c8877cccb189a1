"""All that a GPU is wanted for in one command: jobs in order of worth, stopped at a time limit, continued later.

    python -m benchmarks.gpu_pack --out gpu-pack          # here: cases, expected masks, packages
    python -m benchmarks.gpu_day --out day                # there: up to 25 minutes
    python -m benchmarks.gpu_day --out day --limit-minutes 9   # there, as often as wanted
    python -m benchmarks.gpu_day --out day --small        # every job in small, on a CPU, none may be cut off

The jobs are in `benchmarks/gpu_jobs.py`. They work in --work, each in a folder of its own with its log and its state. A
finished job is not run again; one that failed or was stopped is, for what is left of its own limit. After each job --out
gets report.md and at most six day-N.tar below 16 MiB, which hold states, logs, rows and weights. Where --work is empty they
are unpacked first, so that the next machine continues. Exit code 2 when a job failed.
"""

import argparse
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import without_simpleitk
from benchmarks.gpu_jobs import Job, Place, jobs
from model.errors import UserError
from model.files import only_run, whole_file, writable, write_whole
from model.networks.cuda import no_cuda
from training.common.cli import run

ROOT = Path(__file__).resolve().parents[1]
SHORTEST_SECONDS = 5  # no job is begun with less
GRACE_SECONDS = 10  # between asking a job to end and ending it
PART_BYTES, PARTS = 15 << 20, 6  # of the archives
LOG_LINES = 80  # of each job, in the report
FAILURE_LINES = 15  # of a failed one, on the terminal
KEPT = ("state.json", "log.txt", "results/*.csv", "results/*.json")  # of all jobs, before any weights
WEIGHTS = ("fold*.safetensors", "fold*.json")


START = """import importlib.util, sys


class Filters:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "model.images.components":
            return importlib.util.spec_from_file_location(name, {file!r})


sys.meta_path.insert(0, Filters)
"""


@dataclass(frozen=True)
class State:
    """Of one job: finished, failed, stopped, left out, or waiting."""

    state: str = "waiting"
    seconds: float = 0.0  # over all calls
    calls: int = 0
    returncode: int | None = None


def read_state(folder: Path) -> State:
    """The job's state. Raises UserError when the file is damaged."""
    path = folder / "state.json"
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); remove {folder} to begin the job anew") from None


def run_job(job: Job, folder: Path, seconds: float, environment: dict[str, str]) -> State:
    """Run or continue a job for at most `seconds`; its new state, which is on disk too."""
    before = read_state(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"== call {before.calls + 1}\n")
        log.flush()
        process = subprocess.Popen(
            job.command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(process)
    spent = before.seconds + time.monotonic() - started
    state = State("stopped" if code is None else "failed" if code else "finished", round(spent, 1), before.calls + 1, code)
    write_whole(folder / "state.json", json.dumps(asdict(state)).encode())
    return state


def end(process: subprocess.Popen) -> None:
    """End a job with all processes that it started, also where it ended itself and they did not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def work_off(chosen: list[Job], place: Place, out: Path, deadline: float, environment: dict[str, str]) -> list[Job]:
    """Run what is not finished until the deadline (of time.monotonic); returns the jobs that failed."""
    failed = []
    for job in chosen:
        folder, state = place.work / job.name, read_state(place.work / job.name)
        left = min(math.inf if place.small else job.minutes * 60 - state.seconds, deadline - time.monotonic())
        if state.state == "finished" or left < SHORTEST_SECONDS:
            continue
        if job.package and not has(job.package, environment):
            print(f"{job.name}: left out, {job.package} is not installed", flush=True)
            continue
        state = run_job(job, folder, left, environment)
        print(f"{job.name}: {state.state}, {state.seconds:.0f} s", flush=True)
        if state.state == "failed" or (place.small and state.state != "finished"):
            failed.append(job)
            print("\n".join(last_call(folder)[-FAILURE_LINES:]), flush=True)
        collect(chosen, place, out)
    return failed


def has(package: str, environment: dict[str, str]) -> bool:
    """Whether the jobs can import it."""
    code = f"import {package}"
    return (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False, stderr=subprocess.DEVNULL).returncode == 0
    )


def collect(chosen: list[Job], place: Place, out: Path) -> None:
    """Write report.md and the archives."""
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        left_out = write_parts(kept(chosen, place.work), place.work, out)
        write_whole(out / "report.md", report(chosen, place, left_out).encode())


def report(chosen: list[Job], place: Place, left_out: list[Path]) -> str:
    """Markdown: the jobs' states, and the end of what each printed in its last call."""
    lines = [f"# {machine()}", "", "| job | question | state | minutes | of |", "|---|---|---|---|---|"]
    states = {job.name: read_state(place.work / job.name) for job in chosen}
    for job in chosen:
        state = states[job.name]
        lines.append(f"| {job.name} | {job.question} | {state.state} | {state.seconds / 60:.1f} | {job.minutes:g} |")
    for job in (job for job in chosen if states[job.name].calls):
        lines += ["", f"## {job.name}", "", *last_call(place.work / job.name)[-LOG_LINES:]]
    if left_out:
        lines += ["", "Not in the archives, for want of room: " + ", ".join(map(str, left_out))]
    return "\n".join(lines) + "\n"


def last_call(folder: Path) -> list[str]:
    """The lines that a job printed when it ran last."""
    log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    return log.rpartition("== call ")[2].splitlines()[1:]


def machine() -> str:
    """The GPU by its driver's name, or the CPU."""
    if shutil.which("nvidia-smi"):
        words = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip().replace("\n", "; ")
    return f"{platform.machine()}, {os.cpu_count()} cores, no GPU"


def kept(chosen: list[Job], work: Path) -> list[Path]:
    """Files by worth: what is small, weights where the job asks for them, checkpoints of unfinished runs."""
    folders = [(work / job.name, job.weights) for job in chosen]
    small = [path for pattern in KEPT for folder, _ in folders for path in sorted(folder.rglob(pattern))]
    weights = [path for pattern in WEIGHTS for folder, wanted in folders if wanted for path in sorted(folder.rglob(pattern))]
    checkpoints = [path for folder, _ in folders for path in sorted(folder.rglob("checkpoint.pt"))]
    return [*small, *weights, *(path for path in checkpoints if not any(path.parent.glob(WEIGHTS[0])))]


def write_parts(paths: Iterable[Path], root: Path, out: Path) -> list[Path]:
    """Archives of the files, each in the first that has room; returns those that fit in none, relative to `root`."""
    parts: list[list[Path]] = [[] for _ in range(PARTS)]
    room, left_out = [PART_BYTES] * PARTS, []
    for path in paths:
        size = path.stat().st_size + 2048  # with its header and padding
        fitting = next((n for n in range(PARTS) if size <= room[n]), None)
        if fitting is None:
            left_out.append(path.relative_to(root))
            continue
        room[fitting] -= size
        parts[fitting].append(path)
    for number, inside in enumerate(parts, 1):
        write_archive(inside, root, out / f"day-{number}.tar")
    return left_out


def write_archive(paths: list[Path], root: Path, archive: Path) -> None:
    """One .tar, whole or not at all; none where there is nothing to keep."""
    archive.unlink(missing_ok=True)
    if paths:
        with whole_file(archive) as partial, tarfile.open(partial, "w") as tar:
            for path in paths:
                tar.add(path, path.relative_to(root))


def unpack(out: Path, work: Path) -> None:
    """Continue an earlier machine's day where this one has none. Raises UserError for a damaged archive."""
    if work.exists() and any(work.iterdir()):
        return
    for archive in sorted(out.glob("day-*.tar")):
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{archive}: cannot be unpacked ({error}); remove it to begin anew") from None


def environment_of(place: Place) -> dict[str, str]:
    """The jobs' environment: the pack's packages and its commit; a try on a CPU sees no SimpleITK, like the real machine."""
    site = place.pack / "site"
    if place.small:
        site = place.work / "without"
        site.mkdir(parents=True, exist_ok=True)
        (site / "SimpleITK.py").write_text('raise ImportError("hidden: the GPU machine has none")\n', encoding="utf-8")
    wheels = sorted((place.pack / "nnunet").glob("*.whl"))
    for wheel in wheels:
        shutil.unpack_archive(wheel, place.work / "wheels", "zip")
    unpacked = [str(place.work / "wheels")] if wheels else []
    paths = [str(site.resolve()), str(ROOT), *unpacked, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        commit = json.loads((place.pack / "pack.json").read_text(encoding="utf-8"))["commit"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{place.pack}: not a pack ({error}); make it with python -m benchmarks.gpu_pack") from None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "GIT_COMMIT": commit, "PYTHONUNBUFFERED": "1"}
    replace_filters(environment, place.work / "start")
    return environment


def replace_filters(environment: dict[str, str], folder: Path) -> None:
    """Where SimpleITK is missing, every Python process of the jobs, also one that a job starts, takes scipy's filters."""
    if has("SimpleITK", environment):
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(START.format(file=without_simpleitk.__file__), encoding="utf-8")
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])


def prepare(args: argparse.Namespace) -> Place:
    """Where everything lies, with an earlier machine's day and, for a try, a pack of invented cases. Raises UserError."""
    pack, work = args.pack.resolve(), args.work.resolve()
    unpack(args.out, work)
    if args.small:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny volumes are not worth sharing out
        from benchmarks.gpu_pack import make_small

        pack = work / "pack"
        if not (pack / "pack.json").exists():
            shutil.rmtree(pack, ignore_errors=True)
            make_small(pack)
    elif reason := no_cuda():
        raise UserError(f"CUDA cannot be used ({reason}); --small tries every job on the CPU")
    return Place(pack, work, args.small)


def choose(everything: list[Job], names: list[str], again: list[str], work: Path) -> list[Job]:
    """The jobs that were named, or all; those to be done again lose what they have. Raises UserError for another name."""
    known = {job.name: job for job in everything}
    for name in (*names, *again):
        if name not in known:
            raise UserError(f"{name}: no such job, expected some of {', '.join(known)}")
    for name in again:
        shutil.rmtree(work / name, ignore_errors=True)
    return [job for job in everything if not names or job.name in names]


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for report.md and the archives")
    parser.add_argument("--pack", type=Path, default=Path("gpu-pack"), help="of benchmarks.gpu_pack (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="folder the jobs work in (default: OUT with -work at the end)")
    parser.add_argument("--limit-minutes", type=float, default=25, help="of this call (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="JOB", help="these jobs instead of all")
    parser.add_argument("--again", nargs="+", default=[], metavar="JOB", help="begin these anew")
    parser.add_argument("--small", action="store_true", help="every job in small, on the CPU, without SimpleITK")
    args = parser.parse_args()
    args.work = args.work or args.out.with_name(args.out.name + "-work")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the running job ends too
    with only_run(args.work):
        place = prepare(args)
        environment = environment_of(place)
        chosen = choose(jobs(place), args.only, args.again, place.work)
        deadline = started + args.limit_minutes * 60 - GRACE_SECONDS
        failed = work_off(chosen, place, args.out, deadline, environment)
        collect(chosen, place, args.out)
    print(args.out / "report.md")
    if failed:
        raise UserError(f"{len(failed)} jobs failed: {', '.join(job.name for job in failed)}; see {args.out / 'report.md'}")


if __name__ == "__main__":
    run(main)
