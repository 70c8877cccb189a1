"""What every command does around its work: processor, streams, signals, errors as one line."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from model import command
from model.errors import UserError, lacks_memory, one_line, reason_of

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = [
    *(f"-m training.{path.stem}" for path in sorted((ROOT / "training").glob("[a-z]*.py"))),
    "-m evaluation.evaluate",
    "process.py",
]
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
    """As in a container that runs as an id which its list of users lacks. MONAI asks for both, torch's compiler for one."""
    code = "import pwd; pwd.getpwuid = lambda user: {}[user]; from model.command import prepare; prepare();"
    code += " import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    expected = {"USER": str(os.getuid()), "HOME": "/tmp"} | given
    assert (done.stdout, done.stderr) == (f"{expected['USER']} {expected['HOME']}\n", "")


def test_a_home_that_is_given_is_taken_where_no_temporary_folder_can_be_written():
    """As in a read-only container without /tmp."""
    code = "import pwd, tempfile; pwd.getpwuid = lambda user: {}[user]; tempfile._candidate_tempdir_list = list"
    code += "; from model.command import prepare; prepare(); import getpass; print(getpass.getuser())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"HOME": "/given"}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{os.getuid()}\n", "")


# --- the processor ---

# the kernel's flags of three processors: Intel Core 2 Duo P9600 (2008), Core i7-920 (2008), Xeon E5-2670 (2012)
PENRYN = "fpu vme sse sse2 ss ht syscall nx lm pni dtes64 ssse3 cx16 xtpr pdcm sse4_1 lahf_lm"
NEHALEM = f"{PENRYN} sse4_2 popcnt"
SANDY_BRIDGE = f"{NEHALEM} pclmulqdq aes xsave avx"


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        (PENRYN, ["POPCNT", "SSE4.2"]),
        (NEHALEM, []),  # is x86-64-v2
        (SANDY_BRIDGE, []),  # without AVX2
        ("fpu vme sse sse2 lm", ["CMPXCHG16B", "LAHF", "SSE3", "POPCNT", "SSE4.1", "SSE4.2", "SSSE3"]),  # x86-64-v1
    ],
)
def test_flags_that_the_processor_lacks_are_named(tmp_path, monkeypatch, flags, missing):
    monkeypatch.setattr(command.platform, "machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: any\nflags\t\t: {flags}\nbugs\t\t: sse4_2\n\n")
    assert command.missing_cpu_flags(tmp_path / "cpuinfo") == missing


def test_nothing_is_refused_where_the_kernel_does_not_say(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert command.missing_cpu_flags(tmp_path / "cpuinfo") == command.missing_cpu_flags(tmp_path / "none") == []
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu\n")
    monkeypatch.setattr(command.platform, "machine", lambda: "aarch64")
    assert command.missing_cpu_flags(tmp_path / "cpuinfo") == []


def test_a_processor_that_is_too_old_is_told_before_anything_is_imported(tmp_path):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {PENRYN}\n")
    code = f"""
import pathlib, platform, sys
platform.machine = lambda: "x86_64"
import model.command
model.command.missing_cpu_flags.__defaults__ = (pathlib.Path({str(tmp_path / "cpuinfo")!r}),)
sys.argv = ["process.py"]
import runpy
runpy.run_path("process.py", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: this processor lacks POPCNT, SSE4.2; expected x86-64-v2")
    assert done.stderr.count("\n") == 1


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
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"M\\xfcller \\u2192 \\udcff\n"),
        ({"PYTHONIOENCODING": "utf-8"}, "Müller → \\udcff\n".encode()),
    ],
)
def test_characters_that_the_terminal_lacks_are_escaped(environment, printed):
    code = (
        "name = 'M\\xfcller \\u2192 \\udcff'; print(name); print(name, file=sys.stderr)"  # \udcff: a byte that is no UTF-8
    )
    done = shell(code, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, printed)


def test_names_with_umlauts_are_names_in_a_locale_without_them(tmp_path):
    """The bytes of what is written are those of the name that was given."""
    (tmp_path / "Müller").mkdir()
    code = "path = sys.argv[1]; path.encode(); open(path + '/\\xe4', 'w').close(); print(sys.argv[2:])"
    words = [sys.executable, "-c", f"from model.command import *; prepare()\n{code}", str(tmp_path / "Müller"), "a b", "-x"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"['a b', '-x']\n", b"")
    assert os.listdir(os.fsencode(tmp_path / "Müller")) == ["ä".encode()]


# --- signals ---


@pytest.mark.parametrize("words", COMMANDS)
def test_ctrl_c_while_a_command_imports_is_one_line(tmp_path, words):
    """The first package that a command imports sends the signal."""
    for package in ("numpy", "pooch", "matplotlib"):
        (tmp_path / f"{package}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n")
    path = f"{tmp_path}:{ROOT}"
    done = subprocess.run(
        [sys.executable, *words.split()], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.decode()) == (130, b"", STOPPED[signal.SIGINT])


@pytest.mark.parametrize("number", STOPPED)
def test_a_stop_during_the_work_clears_up_and_is_one_line(tmp_path, number):
    code = f"""
def work():
    try:
        os.kill(os.getpid(), {number})
        signal.pause()
    finally:
        os.kill(os.getpid(), {number})  # at once again: of no effect
        open({str(tmp_path / "cleared")!r}, "w").close()
sys.exit(exit_code(work))
"""
    done = shell(code)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (128 + number, b"", STOPPED[number])
    assert (tmp_path / "cleared").exists()


def test_a_signal_that_the_caller_ignores_stays_ignored():
    """As below nohup, and as a shell starts what goes to the background."""
    code = "sys.exit(exit_code(lambda: [os.kill(os.getpid(), number) for number in (1, 3)]))"
    words = [sys.executable, "-c", f"import os, sys\nfrom model.command import *\n{code}"]
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP QUIT; exec \"$@\"", "sh", *words], cwd=ROOT, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_who_insists_does_not_wait_for_the_clearing_up():
    code = """
command = sys.modules["model.command"]
command.SECOND_SIGNAL_AFTER_S = 0.1
def work():
    try:
        os.kill(os.getpid(), 2)
        signal.pause()
    finally:
        time.sleep(0.2)
        os.kill(os.getpid(), 2)
        time.sleep(60)
exit_code(work)
"""
    done = shell(code)
    assert (done.returncode, done.stderr.decode()) == (130, STOPPED[signal.SIGINT])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", ["start", "engine"])
def test_a_second_signal_ends_an_import_that_never_returns(tmp_path, number, at):
    """Python cannot run at all; the first signal is on record when it can again."""
    code = """
import ctypes
def stuck():
    print("stuck", flush=True)
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    while True:  # never returns, and holds Python's lock, as the loader does while libraries set themselves up
        libc.pthread_mutex_lock(mutex)
def work():
    with loading():
        stuck()
"""
    code += {"start": "stuck()", "engine": "exit_code(work)"}[at]
    words = [sys.executable, "-c", f"from model.command import *; prepare()\n{code}"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"stuck\n"
            time.sleep(0.2)
            process.send_signal(number)
            time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(10) == -number  # the kernel ended it
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_an_engine_is_imported_is_one_line(number):
    code = f"""
def work():
    with loading():
        try:
            os.kill(os.getpid(), {number})
            signal.pause()
        except BaseException:
            raise ImportError("initialization failed")
sys.exit(exit_code(work))
"""
    done = shell(code)
    assert (done.returncode, done.stderr.decode()) == (128 + number, STOPPED[number])


@pytest.mark.parametrize("then", ["raise ImportError('initialization failed')", "pass"])
def test_a_stop_counts_whatever_a_library_makes_of_it(then):
    code = f"""
def work():
    try:
        os.kill(os.getpid(), 2)
        signal.pause()
    except BaseException:
        {then}
sys.exit(exit_code(work))
"""
    done = shell(code)
    assert (done.returncode, done.stderr.decode()) == (130, STOPPED[signal.SIGINT])


def test_loading_gives_signals_their_meaning_back():
    meant = []
    command.exit_code(lambda: (meant.append(now()), load(), meant.append(now())))
    assert meant[0] == meant[1]


def now() -> list:
    return [signal.getsignal(number) for number in command.STOPS]


def load() -> None:
    with command.loading():
        assert now() == [command._stop_at_once] * len(command.STOPS)


def test_signals_mean_afterwards_what_they_meant_before():
    before = [signal.getsignal(number) for number in command.STOPS]
    assert command.exit_code(lambda: None) == 0
    assert [signal.getsignal(number) for number in command.STOPS] == before


# --- errors ---


def test_one_line_has_no_line_breaks_and_no_runs_of_blanks():
    assert one_line(ValueError(" a\n\tb   c\r\n")) == "a b c"
    assert one_line("a\nb") == "a b"


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
    RuntimeError("Exception thrown in SimpleITK ImageFileReader_Execute: /x.hxx:199:\nFailed to allocate memory for image."),
    RuntimeError("std::bad_alloc"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
    ),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("can't start new thread"),
    RuntimeError("Check 'ptr' failed at src/cpu_memory.cpp:257:\nFailed to allocate 2621440 bytes of memory"),  # OpenVINO
    RuntimeError("[CPU] MVN node with name 'MVN_538' can't alloc"),
    RuntimeError("Exception from src/inference/src/dev/plugin.cpp:59:\nResource temporarily unavailable"),
    type("Fail", (Exception,), {})(
        "[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 8"
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


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_other_errors_are_not(error):
    assert not lacks_memory(error)


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (UserError("a.mha: cut\noff"), 2, "error: a.mha: cut off"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: cannot be used (No space left on device)"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.csv"), 2, "error: a.csv: cannot be used (No such file)"),
        (ModuleNotFoundError("no", name="pooch.hashes"), 2, f"error: the Python package pooch is not installed; {SET_UP}"),
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
    (tmp_path / "pooch.py").write_text("raise ModuleNotFoundError(name='pooch')")  # shadows the one that is installed
    words = [sys.executable, "-m", "training.download", "--help"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: the Python package pooch is not installed; {SET_UP}\n"


def raising(error: Exception):
    def work() -> None:
        raise error

    return work
