"""Kills runs with SIGKILL and looks at what lies in the output folder: no mask and no results, or whole ones.

    .venv/bin/python test/kill/kill_runs.py --bytes 200 --seed 1

Two kinds of kill: `steps`, a run that is killed before each of its file operations in turn; `bytes`, a run that is killed by
the kernel once a file that it writes reaches a random length. After the kills the next run in the same folder must succeed
and leave its mask and results alone.
"""

import argparse
import collections
import functools
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[n]) for n in (1, 2))

import forked
import numpy as np
import torch
from inference_helpers import MASK, PROBABILITIES, RESULTS, TINY, arguments, files_below, save_ensemble
from phantom import write_case

import process
from model.networks.network import LesionNet
from model.run import one_case

FINAL = (RESULTS, PROBABILITIES, MASK)  # in the order in which they are written
FILE_OPERATIONS = ("open", "os.mkdir", "os.remove", "os.rename", "os.listdir", "os.scandir", "fcntl.flock", "glob.glob")


class Bench:
    """A case, weights, what a whole run writes, and the outcomes."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        write_case(folder / "case")
        self.case, self.output = folder / "case" / "input", folder / "output"
        self.weights = save_ensemble(folder / "weights", LesionNet(TINY))
        self.words = [*arguments(self.case, self.output, self.weights), "--probabilities"]
        assert forked.finish(forked.start(self.run)) == 0
        self.whole = {name: (self.output / name).read_bytes() for name in FINAL}
        self.outcomes: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        code = process.main(self.words)
        if code:
            raise RuntimeError(f"exit code {code}")

    def check(self) -> None:
        """Look at what a killed run left, then run again and look at that."""
        found = files_below(self.output)
        kinds = [name for name in FINAL if name in found]
        self.require_whole(kinds)
        if MASK in kinds and len(kinds) < len(FINAL) and PROBABILITIES in kinds:
            raise AssertionError(f"a mask without the rest: {found}")
        partial = [name for name in found if name not in FINAL]
        assert all(re.fullmatch(r"\..+\.partial", Path(name).parts[0]) for name in partial), found
        self.outcomes["whole mask" if MASK in kinds else "no mask"] += 1
        self.outcomes["  of these with a hidden .partial folder left behind"] += bool(partial)
        self.outcomes["  of these with results.json or probabilities before their mask"] += bool(kinds) and MASK not in kinds

    def again(self) -> None:
        """The next run in this folder is as good as the first."""
        code = forked.finish(forked.start(self.run))
        assert code == 0, code
        assert files_below(self.output) == sorted(FINAL)
        self.require_whole(FINAL)

    def require_whole(self, names: list[str] | tuple[str, ...]) -> None:
        for name in names:
            data = (self.output / name).read_bytes()
            if name == RESULTS:
                new, old = (json.loads(text) for text in (data, self.whole[name]))
                changing = {"seconds": 0, "sha256": ""}
                assert new | changing == old | changing
            else:
                assert data == self.whole[name], f"{name} is not whole"

    def clear(self) -> None:
        for name in files_below(self.output):
            (self.output / name).unlink()
        for folder in self.output.glob(".*.partial"):
            shutil.rmtree(folder)


def kill_at_steps(bench: Bench) -> None:
    """Before the first file operation, before the second, and so on until a run comes to its end."""
    for number in range(10_000):
        bench.clear()
        code = forked.finish(forked.start(functools.partial(forked.until_step, bench.run, number, FILE_OPERATIONS)))
        if code == 0:
            return
        assert code == -signal.SIGKILL, code
        bench.outcomes["killed"] += 1
        bench.check()
        if number % 10 == 0:
            bench.again()
    raise AssertionError("a run has no end")


def kill_at_bytes(bench: Bench, count: int) -> None:
    """When a file would grow beyond a length, the kernel ends the process in the middle of writing it."""
    longest = max(map(len, bench.whole.values()))
    for number in range(count):
        bench.clear()
        limit = int(np.exp(bench.rng.uniform(0, np.log(longest))))
        code = forked.finish(forked.start(functools.partial(until_bytes, bench.run, limit)))
        assert code in (0, -signal.SIGXFSZ), code
        bench.outcomes["killed" if code else "had ended before"] += 1
        bench.check()
        if number % 10 == 0:
            bench.again()


def until_bytes(run: Callable[[], object], limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    write = one_case.write_case

    def limited(*args: object) -> dict:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # not before: it counts for files in memory too
        return write(*args)

    one_case.write_case = limited
    run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=200, help="kills in the middle of a file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the lengths (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.seed)
        for name, kill in (("steps", kill_at_steps), ("bytes", functools.partial(kill_at_bytes, count=args.bytes))):
            bench.outcomes.clear()
            kill(bench)
            bench.again()
            print(f"{name}: " + ", ".join(f"{count} {outcome.strip()}" for outcome, count in bench.outcomes.items()))
    print("no half mask, no half results, and every later run was whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
