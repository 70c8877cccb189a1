"""Whole processes in turn: seconds from start to end, processor seconds and peak resident memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}  # as in the images


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    processor_seconds: float  # of all threads, which other load on the machine changes least
    peak_mib: float


def measure(command: list[str], environment: Mapping[str, str]) -> Run:
    """Run a process to its end; its wall-clock and processor seconds and peak resident memory.

    Raises subprocess.CalledProcessError when it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(commands: Mapping[str, list[str]], runs: int) -> dict[str, list[Run]]:
    """Each command `runs` times, one after the other, after one round that does not count."""
    finished: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            finished[name].append(measure(command, KEEP_MEMORY))
    return {name: all_runs[1:] for name, all_runs in finished.items()}


def print_table(title: str, finished: Mapping[str, list[Run]]) -> None:
    """Markdown: median seconds and processor seconds, their ratios to the first one's, and the largest peak memory."""
    print(f"\n| {title} | seconds | ratio | processor s | ratio | peak MiB |\n|---|---|---|---|---|---|")
    first: list[float] = []
    for name, runs in finished.items():
        wall = statistics.median(run.seconds for run in runs)
        processor = statistics.median(run.processor_seconds for run in runs)
        first = first or [wall, processor]
        ratios = wall / first[0], processor / first[1]
        peak_mib = max(run.peak_mib for run in runs)
        cells = f"{wall:.2f} | {ratios[0]:.2f} | {processor:.2f} | {ratios[1]:.2f} | {peak_mib:.0f}"
        print(f"| {name} | {cells} |", flush=True)
