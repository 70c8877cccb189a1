"""Other machines than x86-64 with Linux: what is built for them, and that nothing that is shipped needs Linux.

A run on an emulated ARM64 processor is in test/arm64.sh, which takes minutes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from model.names.platform_paths import MASK_PATH

ROOT = Path(__file__).resolve().parents[1]

# What macOS has not, of the modules that Python has loaded when it starts; and nothing of /proc or /sys can be opened.
LIKE_MACOS = """
import builtins, os, runpy, signal, sys
LINUX = {
    os: "sched_getaffinity sched_setaffinity memfd_create pipe2 posix_fadvise posix_fallocate copy_file_range splice eventfd"
    " getrandom fdatasync listxattr getxattr setxattr removexattr getresuid getresgid O_PATH O_TMPFILE O_DIRECT pidfd_open",
    signal: "sigwaitinfo sigtimedwait SIGRTMIN SIGRTMAX SIGPWR SIGSTKFLT",
}
for module, names in LINUX.items():
    for name in names.split():
        vars(module).pop(name, None)
def refuse(event, words):
    if event in ("open", "os.listdir", "os.scandir") and str(words[0]).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", words[0])
sys.addaudithook(refuse)
sys.argv = ["process.py", *sys.argv[1:]]
runpy.run_path("process.py", run_name="__main__")
"""


def test_the_built_in_case_without_what_only_linux_has(tmp_path):
    case = ROOT / "test" / "case"
    words = ["--input", str(case / "input"), "--output", str(tmp_path), "--report", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", LIKE_MACOS, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found, expected = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (tmp_path / MASK_PATH, case / "expected.mha"))
    assert (found != expected).sum() <= 10  # as in test.sh: libraries round differently


def commands(folder: Path, script: str, *words: str) -> str:
    """What a script says to Docker: a program of that name writes its words down."""
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >>{folder}/words\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run([ROOT / script, *words], env=environment, capture_output=True, check=True)
    return (folder / "words").read_text()


@pytest.mark.parametrize(
    ("words", "platform"),
    [
        ([], "linux/amd64"),
        (["--invoke"], "linux/amd64"),
        (["--cpu"], None),
        (["--cpu", "--platform", "linux/arm64"], "linux/arm64"),
        (["--platform", "linux/arm64"], "linux/arm64"),
    ],
)
def test_an_image_is_built_for_the_challenge_and_the_cpu_image_for_this_machine(tmp_path, words, platform):
    (built,) = re.findall(r"--platform (\S+)", commands(tmp_path, "build.sh", *words)) or [None]
    assert built == platform


def test_what_is_uploaded_is_built_for_the_challenge(tmp_path):
    built = commands(tmp_path, "export.sh", "--cpu", str(tmp_path / "dist"))
    assert built.count("--platform linux/amd64") == 1


@pytest.mark.parametrize("words", [["--gpu"], ["--platform"], ["--platform", "linux/arm64", "--cpu"]])
def test_another_word_is_refused(words):
    done = subprocess.run([ROOT / "build.sh", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:18]) == (2, "usage: ./build.sh ")


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (["libopenvino_arm_cpu_plugin.so"], ["libopenvino_arm_cpu_plugin.so"]),
        (["libopenvino_intel_cpu_plugin.so", "libopenvino_intel_gpu_plugin.so"], ["libopenvino_intel_cpu_plugin.so"]),
    ],
    ids=["arm64", "x86-64"],
)
def test_the_image_leaves_out_plugins_where_there_are_some(tmp_path, files, left):
    """The Dockerfile's own command, in a folder that has what OpenVINO's package for a processor has."""
    (command,) = re.findall(r"^ +(rm -.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "libs").mkdir()
    for name in files:
        (tmp_path / "libs" / name).touch()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert [path.name for path in (tmp_path / "libs").iterdir()] == left


def test_a_mac_with_an_intel_processor_is_told_what_it_can_use(tmp_path):
    python = tmp_path / "python"
    lies = 'import sys, platform; sys.platform, platform.machine = "darwin", lambda: "x86_64"; exec(sys.argv[1])'
    python.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c '{lies}' \"$1\"\n")
    python.chmod(0o755)
    shutil.copy(ROOT / "setup.sh", tmp_path)
    environment = os.environ | {"PYTHON": str(python)}
    done = subprocess.run([tmp_path / "setup.sh"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1][-38:]) == (2, "use the CPU image there, ./build.sh --cpu"[-38:])
