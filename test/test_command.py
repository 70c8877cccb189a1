"""What every command does around its work: streams, signals, errors as one line."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model import command
from model.errors import UserError, lacks_memory, listed, one_line, reason_of

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ["-m training.splits", "-m evaluation.evaluate", "process.py"]  # each prepares in a place of its own
SET_UP = (
    "./setup.sh dev installs all that the project uses, ./setup.sh training what training and scoring need,"
    " ./setup.sh what process.py needs"
)
STOPPED = {number: f"error: stopped by {number.name}\n" for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
STOPPED[signal.SIGINT] = "error: stopped by SIGINT (Ctrl-C)\n"


def shell(code: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Runs Python code after `prepare()` in a process of its own, as a shell with that redirection starts it."""
    words = [sys.executable, "-c", f"from model.command import *; prepare()\n{code}"]
    line = f'set -o pipefail; "$0" "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", line, *words],
        cwd=ROOT,
        env=os.environ | environment,
        preexec_fn=heard,
        capture_output=True,
        check=False,
        timeout=60,
    )


def heard() -> None:
    """Signals that whoever runs the tests may have ignored."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "3"}, 3)])
def test_numpy_multiplies_in_one_thread_unless_told_otherwise(monkeypatch, asked, threads):
    """The pool is there once numpy is imported; OpenBLAS does not start more threads than the machine has processors."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    done = shell("import numpy; print(len(os.listdir('/proc/self/task')))", OMP_NUM_THREADS="2", **asked)
    assert int(done.stdout) == min(threads, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("given", [{}, {"HOME": "/given"}, {"USER": "someone", "HOME": "/given"}])
def test_a_user_id_without_a_name_gets_one_and_a_home(given):
    """As in a container that runs as an id which its list of users lacks. MONAI asks for both, torch's compiler for one.

    Where a home is given, no temporary folder need be there, as in a read-only container without /tmp.
    """
    code = "import pwd, tempfile; pwd.getpwuid = lambda user: {}[user]; "
    code += "tempfile._candidate_tempdir_list = list; " if given else ""
    code += "from model.command import prepare; prepare(); "
    code += "import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    expected = {"USER": str(os.getuid()), "HOME": "/tmp"} | given
    assert (done.stdout, done.stderr) == (f"{expected['USER']} {expected['HOME']}\n", "")


# --- streams ---

WRITES = "exit_code(lambda: (print('first'), print('a line\\n' * 100_000), open('{path}', 'w').write('mask')))"


@pytest.mark.parametrize(
    ("redirection", "out", "err"),
    [
        (">&-", "", ""),
        ("2>&-", "first", ""),
        ("<&- >&- 2>&-", "", ""),
        ("| head -1", "first", ""),
        ("2>&1 >/dev/full", "warning: standard output cannot be written (No space left on device)", ""),
        ("2>/dev/full", "first", ""),
    ],
)
def test_work_is_done_whatever_becomes_of_what_it_prints(tmp_path, redirection, out, err):
    done = shell(f"sys.exit({WRITES.format(path=tmp_path / 'mask')})", redirection)
    assert (done.returncode, done.stderr.decode()) == (0, err)
    assert (done.stdout.decode().splitlines() or [""])[0] == out
    assert (tmp_path / "mask").read_text() == "mask"


def test_a_reason_without_a_stream_is_still_an_exit_code():
    code = """
from model.errors import UserError
def work():
    print("x", file=sys.stderr)
    raise UserError("no")
sys.exit(exit_code(work))
"""
    assert shell(code, "2>&- >&-").returncode == 2
    assert shell(code, "2>&1 | (exec <&-; sleep 0.3)").returncode == 2


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"M\\xfcller \\u2192 \\udcff\n"),
        ({"LC_ALL": "C"}, "Müller → \\udcff\n".encode()),  # Python's own UTF-8 mode
        ({"PYTHONIOENCODING": "utf-8"}, "Müller → \\udcff\n".encode()),
    ],
)
def test_characters_that_the_terminal_lacks_are_escaped(environment, printed):
    code = (
        "name = 'M\\xfcller \\u2192 \\udcff'; print(name); print(name, file=sys.stderr)"  # \udcff: a byte that is no UTF-8
    )
    done = shell(code, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, printed)


# --- signals ---


@pytest.mark.parametrize("words", COMMANDS)
def test_ctrl_c_while_a_command_imports_is_one_line(tmp_path, words):
    """The first package that a command imports sends the signal."""
    for package in ("numpy", "matplotlib"):
        (tmp_path / f"{package}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n")
    path = f"{tmp_path}:{ROOT}"
    done = subprocess.run(
        [sys.executable, *words.split()], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.decode()) == (130, b"", STOPPED[signal.SIGINT])


SOON = "sys.modules['model.command'].SECOND_SIGNAL_AFTER_S = 0.1\n    if True"
FAILS = "except BaseException: raise ImportError('initialization failed')"


@pytest.mark.parametrize(
    ("number", "around", "then", "printed"),
    [
        *(
            (number, "if True", f"finally: os.kill(os.getpid(), {number}); print('cleared')", "cleared\n")
            for number in STOPPED
        ),
        (signal.SIGINT, SOON, "finally: time.sleep(0.2); os.kill(os.getpid(), 2); time.sleep(60)", ""),  # who insists
        (signal.SIGINT, "if True", FAILS, ""),  # what a library makes of it
        (signal.SIGINT, "if True", "except BaseException: pass", ""),
    ],
)
def test_a_stop_during_the_work_is_one_line_whatever_becomes_of_it(number, around, then, printed):
    """It clears up; a second signal at once has no effect."""
    code = f"""
def work():
    {around}:
        try:
            os.kill(os.getpid(), {number})
            signal.pause()
        {then}
sys.exit(exit_code(work))
"""
    done = shell(code)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (128 + number, printed, STOPPED[number])


def test_a_signal_that_the_caller_ignores_stays_ignored():
    """As below nohup, and as a shell starts what goes to the background."""
    code = "sys.exit(exit_code(lambda: [os.kill(os.getpid(), number) for number in (1, 3)]))"
    words = [sys.executable, "-c", f"import os, sys\nfrom model.command import *\n{code}"]
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP QUIT; exec \"$@\"", "sh", *words], cwd=ROOT, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_signals_mean_afterwards_what_they_meant_before():
    before = [signal.getsignal(number) for number in command.STOPS]
    assert command.exit_code(lambda: None) == 0
    assert [signal.getsignal(number) for number in command.STOPS] == before


# --- errors ---


def test_one_line_has_no_line_breaks_no_runs_of_blanks_and_no_signs_that_steer_a_terminal():
    assert one_line(ValueError(" a\n\tb   c\r\n\x1b[31m")) == r"a b c \x1b[31m"


def test_a_list_names_the_first_and_counts_the_others():
    assert [listed("cab"[:count], 2) for count in (0, 2, 3)] == ["", "a, c", "a, b and 1 more"]


def numpys() -> MemoryError:
    """What numpy raises for an array that no machine holds."""
    try:
        np.empty(2**59)
    except MemoryError as error:
        return error


MEMORY = [
    numpys(),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    *map(
        RuntimeError,
        (
            "Exception thrown in SimpleITK ImageFileReader_Execute: /x.hxx:199:\nFailed to allocate memory for image.",
            "std::bad_alloc",
            "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8",
            "CUDA out of memory. Tried to allocate 2.00 GiB.",
            "can't start new thread",
            "Check 'ptr' failed at src/cpu_memory.cpp:257:\nFailed to allocate 2621440 bytes of memory",  # OpenVINO
            "[CPU] MVN node with name 'MVN_538' can't alloc",
            "Exception from src/inference/src/dev/plugin.cpp:59:\nResource temporarily unavailable",
        ),
    ),
    ImportError("libx.so: failed to map segment from shared object"),
]
OTHER = [
    ValueError("bad_alloc"),
    OSError(errno.ENOENT, "No such file"),
    RuntimeError("shape mismatch"),
    ImportError("no module"),
    UserError("case of memory"),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_a_lack_of_memory_is_called_that(error, capfd):
    assert lacks_memory(error)
    assert command.exit_code(raising(error)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory")
    assert not line.endswith(f"({type(error).__name__})")  # which says nothing to a user


def test_other_errors_are_not():
    assert not list(filter(lacks_memory, OTHER))


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (UserError("a.mha: cut\noff"), 2, "error: a.mha: cut off"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: cannot be used (No space left on device)"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.csv"), 2, "error: a.csv: cannot be used (No such file)"),
        (ModuleNotFoundError("no", name="monai.data"), 2, f"error: the Python package monai is not installed; {SET_UP}"),
        (ModuleNotFoundError("no", name="model.gone"), 1, "error: unexpected ModuleNotFoundError: no"),
        (OSError("odd"), 1, "error: unexpected OSError: odd"),
        (ZeroDivisionError("a mistake\nof ours"), 1, "error: unexpected ZeroDivisionError: a mistake of ours"),
    ],
)
def test_the_last_line_says_why(error, code, last, capfd):
    assert command.exit_code(raising(error)) == code
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == last == f"error: {reason_of(error)}"
    assert ("Traceback" in lines[0]) == (code == 1)


def test_a_package_that_is_missing_at_import_is_one_line(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError(name='numpy')")  # shadows the one that is installed
    words = [sys.executable, "-m", "training.splits", "--help"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: the Python package numpy is not installed; {SET_UP}\n"


def raising(error: Exception):
    def work() -> None:
        raise error

    return work
