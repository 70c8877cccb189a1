"""What a GPU is asked to do, in order of worth: the table of `benchmarks.gpu_day`. A new experiment is a new line here."""

import sys
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable
TESTS = [
    f"test/{name}.py" for name in ("networks/test_cuda", "training/test_training_distance", "training/test_training_step")
]
# the others need fixtures, or edt, which trains on CPUs alone
CUDA_TESTS = "(cuda or kernel) and not (interpreter or equals_the_cpu)"
TREES = ("--protocol", "trees-first")
BEST = "tversky-hausdorffdt"
LOSSES = (BEST, "dice", "dice-focal-hausdorffdt", "tversky", "dice-focal", "hausdorffdt")  # the first ones are done first
# the paper's grid is far too large for a try on a CPU
SMALL_PAPER = """
from training.common.cli import run
from training.learning import paper
from training.train import main
paper.GRID = (8, 16, 16)
run(main)
"""


@dataclass(frozen=True)
class Job:
    """A command with its own time limit, over all calls together."""

    name: str
    question: str  # that it answers
    minutes: float
    command: tuple[str, ...]
    package: str = ""  # without which it cannot run and is left out
    weights: bool = False  # whether those that it trains are wanted back


@dataclass(frozen=True)
class Place:
    """Where a day's files lie, and whether it is a try on a CPU."""

    pack: Path
    work: Path
    small: bool = False

    @property
    def data(self) -> str:
        """The packed cases."""
        return str(self.pack / "packed")

    @property
    def device(self) -> str:
        """What everything runs on."""
        return "cpu" if self.small else "cuda"


def module(name: str, *words: object) -> tuple[str, ...]:
    """A command of this project."""
    return (PYTHON, "-m", name, *map(str, words))


def jobs(place: Place) -> list[Job]:
    """All of them."""
    return [*checks(place), *trainings(place)]


def checks(place: Place) -> list[Job]:
    """What a few minutes show."""
    small, where = place.small, ("--device", place.device)
    pytest = ("-q", "-p", "no:cacheprovider", "--noconftest", "-k", CUDA_TESTS, *(TESTS[:1] if small else TESTS))
    some = ("--cases", 3) if small else ()
    expected = ("--data", place.data, *some, "--expected", place.pack / "expected.npz")
    step = ("--data", place.data, "--steps", 3 if small else 30, *where)
    times = ("--data", place.data, *some, *where, "--runs", 1 if small else 3)
    losses = (*where, "--runs", 1 if small else 7, *(["--small"] if small else []))
    return [
        Job("tests", "Do the tests for CUDA and Triton pass?", 3, module("pytest", *pytest)),
        Job("masks", "Are the masks those of the CPU?", 2, module("benchmarks.gpu_masks", *expected, *where)),
        Job("times", "How long does a case take, cold, warm, in a folder?", 3, module("benchmarks.gpu_times", *times)),
        Job("losses", "What do the losses cost beside MONAI's?", 2, module("benchmarks.losses", *losses)),
        Job("step", "Where does a training step's time go?", 1, module("benchmarks.training", *step)),
        Job("step-bfloat16", "And in bfloat16?", 1, module("benchmarks.training", *step, "--bfloat16")),
    ]


def trainings(place: Place) -> list[Job]:
    """What takes all the time that is left. Each continues where it was stopped."""
    every, seeds = ("--folds", "all"), ("--seeds", 0, 1, 2)
    native = study(place, "native", 6, "--losses", *LOSSES, *every, *seeds)
    best = ("--losses", BEST, *every, "--seeds")
    recipe = study(place, "recipe", 6, *TREES, *best, *range(5))
    longer = study(place, "longer", 6, *best, *range(3), "--epochs", 100)
    published = ("--protocol", "paper", "--bfloat16")
    paper = study(place, "paper", 8, *published, "--losses", *LOSSES, *every, "--seeds", 0)
    if place.small:
        tiny = ("--losses", BEST, "--folds", 0, "--seeds", 0, "--epochs")
        native, recipe = study(place, "native", 1, *tiny, 1), study(place, "recipe", 1, *TREES, *tiny, 1)
        longer = study(place, "longer", 1, *tiny, 2)
        words = (*published, "--no-bfloat16", "--epochs", 1, "--data", place.data, "--device", "cpu")
        paper = tuple(map(str, (PYTHON, "-c", SMALL_PAPER, *words, "--run", place.work / "paper" / "run")))
    peer: tuple[object, ...] = ("--data", place.data, "--work", place.work / "nnunet" / "runs", "--device", place.device)
    peer += ("--trainer", "nnUNetTrainer_1epoch", "--folds", 0, "--tiny") if place.small else ()
    return [
        Job("native", "Which loss, over three seeds?", 12, native),
        Job("paper", "Which loss, by the paper's protocol?", 15, paper),
        Job("recipe", "What do five seeds gain that start from the trees?", 10, recipe, weights=True),
        Job("longer", "What do 100 epochs gain?", 10, longer),
        Job(
            "nnunet", "And nnU-Net v2, 20 epochs, on the same folds?", 25, module("benchmarks.gpu_nnunet", *peer), "nnunetv2"
        ),
    ]


def study(place: Place, name: str, workers: int, *words: str | int) -> tuple[str, ...]:
    """A loss study whose runs and rows lie in the job's own folder. Small networks leave most of a GPU idle: `workers`."""
    folder = place.work / name
    where = ("--data", place.data, "--device", place.device, "--runs", folder / "runs", "--results", folder / "results")
    return module(
        "training.study", *map(str, words), *where, "--workers", str(workers), "--threads", "1" if place.small else "2"
    )
