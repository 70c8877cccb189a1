"""The GPU's day with jobs of one line, and what it does where there is no SimpleITK."""

import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from training_helpers import invented_case, write_packed

from benchmarks import gpu_day, gpu_masks, gpu_nnunet, gpu_pack, training, without_simpleitk
from benchmarks.gpu_jobs import Job, Place, jobs
from model.errors import UserError
from model.images import components
from training.learning.train_config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
SPACING_MM = (5.0, 1.5, 1.25)


def job(name: str, code: str, minutes: float = 1, **others: object) -> Job:
    return Job(name, f"{name}?", minutes, (sys.executable, "-c", code), **others)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "pack", tmp_path / "work")


def work_off(chosen: list[Job], place: Place, seconds: float = 60) -> list[str]:
    out = place.work.with_name("out")
    return [one.name for one in gpu_day.work_off(chosen, place, out, time.monotonic() + seconds, dict(os.environ))]


def state(place: Place, name: str) -> dict:
    return json.loads((place.work / name / "state.json").read_text())


def test_a_finished_job_is_not_run_again_and_a_failed_one_is(place):
    chosen = [job("good", "print('figure 7')"), job("bad", "raise SystemExit(3)")]
    assert work_off(chosen, place) == ["bad"]
    assert work_off(chosen, place) == ["bad"]
    assert (state(place, "good")["state"], state(place, "good")["calls"]) == ("finished", 1)
    assert (state(place, "bad")["state"], state(place, "bad")["calls"], state(place, "bad")["returncode"]) == (
        "failed",
        2,
        3,
    )
    report = (place.work.with_name("out") / "report.md").read_text()
    assert "| good | good? | finished |" in report
    assert "| bad | bad? | failed |" in report
    assert "figure 7" in report


def test_a_job_is_stopped_at_its_limit_with_its_children_and_continues_within_it(place, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_day, "SHORTEST_SECONDS", 0.5)
    child = tmp_path / "child"
    code = f"import subprocess, time; c = subprocess.Popen(['sleep', '60']); open({str(child)!r}, 'w').write(str(c.pid)); "
    limit = 3 / 60
    assert work_off([job("hangs", code + "time.sleep(60)", limit), job("next", "")], place) == []
    assert state(place, "hangs")["state"] == "stopped"
    assert not Path(f"/proc/{child.read_text()}/cmdline").exists() or not is_running(int(child.read_text()))
    assert state(place, "next")["state"] == "finished"
    work_off([job("hangs", "", limit)], place)  # its time is used up
    assert state(place, "hangs")["calls"] == 1
    work_off([job("hangs", "", 1)], place)  # and with a longer limit it goes on
    assert (state(place, "hangs")["state"], state(place, "hangs")["calls"]) == ("finished", 2)


def is_running(pid: int) -> bool:
    return " Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_nothing_is_begun_after_the_deadline(place):
    assert work_off([job("late", "")], place, seconds=gpu_day.SHORTEST_SECONDS - 1) == []
    assert not place.work.exists()


def test_a_job_whose_package_is_missing_is_left_out(place, capsys):
    assert work_off([job("peer", "", package="no_such_package"), job("other", "", package="json")], place) == []
    assert "peer: left out, no_such_package is not installed" in capsys.readouterr().out
    assert not (place.work / "peer").exists()
    assert state(place, "other")["state"] == "finished"


def test_a_damaged_state_is_refused(place):
    (place.work / "job").mkdir(parents=True)
    (place.work / "job" / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"state\.json: damaged .*begin the job anew"):
        gpu_day.read_state(place.work / "job")


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_the_archives_hold_what_is_worth_it_in_parts_and_another_machine_continues(place, monkeypatch):
    monkeypatch.setattr(gpu_day, "PART_BYTES", 30_000)
    chosen = [job("plain", ""), job("trained", "", weights=True)]
    for one in chosen:
        write(place.work / one.name / "results" / "native.csv", 1000)
        for run in ("a", "b"):
            write(place.work / one.name / "runs" / run / "checkpoint.pt", 15_000)
        write(place.work / one.name / "runs" / "a" / "fold0.safetensors", 10_000)  # a is finished
    write(place.work / "plain" / "runs" / "c" / "checkpoint.pt", 31_000)  # larger than a part
    work_off(chosen, place)
    out = place.work.with_name("out")
    gpu_day.collect(chosen, place, out)
    inside = {name: archive for archive in sorted(out.glob("*.tar")) for name in names_in(archive)}
    trained = {"trained/runs/a/fold0.safetensors", "trained/runs/b/checkpoint.pt"}
    small = {f"{one.name}/{file}" for one in chosen for file in ("state.json", "log.txt", "results/native.csv")}
    assert set(inside) == {*small, *trained, "plain/runs/b/checkpoint.pt"}
    assert {inside[name].name for name in small} == {"day-1.tar"}
    assert all(archive.stat().st_size < 42_000 for archive in inside.values())  # tar fills up its last 10 KiB
    assert "for want of room: plain/runs/c/checkpoint.pt" in (out / "report.md").read_text()

    fresh = place.work.with_name("fresh")
    gpu_day.unpack(out, fresh)
    assert (fresh / "trained/runs/a/fold0.safetensors").stat().st_size == 10_000
    assert work_off(chosen, dataclasses.replace(place, work=fresh)) == []
    assert state(dataclasses.replace(place, work=fresh), "plain")["calls"] == 1


def test_a_damaged_archive_and_an_unknown_job_are_refused(tmp_path):
    (tmp_path / "day-1.tar").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"day-1\.tar: cannot be unpacked"):
        gpu_day.unpack(tmp_path, tmp_path / "work")
    with pytest.raises(UserError, match="nativ: no such job, expected some of good"):
        gpu_day.choose([job("good", "")], ["nativ"], [], tmp_path)


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_day, "no_cuda", lambda: "no NVIDIA driver")
    monkeypatch.setattr(sys, "argv", ["gpu_day", "--out", str(tmp_path / "day")])
    with pytest.raises(UserError, match=r"CUDA cannot be used \(no NVIDIA driver\); --small"):
        gpu_day.main()
    assert not (tmp_path / "day").exists()


def test_small_and_full_are_the_same_jobs(place):
    full, small = jobs(place), jobs(dataclasses.replace(place, small=True))
    assert [one.name for one in full] == [one.name for one in small]
    assert all("cuda" in one.command for one in full[1:])
    assert not any("cuda" in one.command for one in small)


def test_waits_of_the_host_are_counted_by_place(monkeypatch):
    modes = []

    def epoch(*_: object) -> None:
        if modes == ["warn"]:
            for _ in range(3):
                warnings.warn("called a synchronizing CUDA operation (x)", stacklevel=1)
            warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(training, "train_epoch", epoch)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    waits, steps = training.host_waits([invented_case(n) for n in range(3)], TrainConfig(), torch.device("cpu"))
    assert (list(waits.values()), steps) == ([3], 2)
    assert next(iter(waits)).startswith("test_gpu_day.py:")
    assert modes == ["warn", "default"]


# --- without SimpleITK ---


@pytest.mark.parametrize("share", [0.05, 0.3, 0.97])
@pytest.mark.parametrize("by_faces", [False, True])
def test_scipys_filters_are_those_of_simpleitk(share, by_faces):
    mask = np.random.default_rng(1).random((7, 15, 12)) < share
    labels, count = without_simpleitk.connected_components(mask, by_faces=by_faces)
    expected, number = components.connected_components(mask, by_faces=by_faces)
    assert count == number
    assert len(set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))) == count + 1  # one to one
    depth = without_simpleitk.depth_mm(mask, SPACING_MM)
    np.testing.assert_allclose(depth, components.depth_mm(mask, SPACING_MM), rtol=1e-5)


def test_a_mask_that_fills_the_volume_has_no_depth():
    assert np.isposinf(without_simpleitk.depth_mm(np.ones((2, 3, 4), bool), SPACING_MM)).all()


def test_without_simpleitk_every_job_loads_and_the_masks_are_the_same(tmp_path):
    (tmp_path / "packed").mkdir()
    cases = [invented_case(number) for number in (0, 1)]
    for case in cases:
        write_packed(case, tmp_path / "packed")
    expected = gpu_masks.masks_of(cases, gpu_masks.make_predictor("torch", "cpu"))
    gpu_masks.write_masks(expected, tmp_path / "expected.npz")
    words = ["x", "--data", str(tmp_path / "packed"), "--expected", str(tmp_path / "expected.npz")]
    code = f"""
import sys
sys.modules["SimpleITK"] = None
import benchmarks.gpu_times, benchmarks.losses, benchmarks.training, training.study
from benchmarks import gpu_masks
sys.argv = {words}
gpu_masks.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    voxels = sum(int(mask.sum()) for mask in expected.values())
    assert f"| 2 | {voxels} | 0 | 0 | 0 |" in done.stdout
    assert voxels > 0


def test_masks_that_are_too_far_apart_fail(tmp_path, capsys):
    case = invented_case(0)
    predictor = gpu_masks.make_predictor("torch", "cpu")
    mask = gpu_masks.masks_of([case], predictor)[case.name]
    for voxels, fits in ((gpu_masks.LARGEST_DIFFERENCE, True), (gpu_masks.LARGEST_DIFFERENCE + 1, False)):
        other = mask.copy()
        other.flat[:voxels] ^= True
        gpu_masks.write_masks({case.name: other}, tmp_path / "expected.npz")
        if fits:
            gpu_masks.compare([case], predictor, tmp_path / "expected.npz")
        else:
            with pytest.raises(UserError, match=f"case0: {voxels} voxels differ"):
                gpu_masks.compare([case], predictor, tmp_path / "expected.npz")
        assert f"- case0: {voxels} of" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected a mask of case1"):
        gpu_masks.differing_voxels({"case1": mask}, tmp_path / "expected.npz")


def test_wheels_of_the_pack_are_unpacked_for_the_jobs(place):
    (place.pack / "nnunet").mkdir(parents=True)
    (place.pack / "pack.json").write_text('{"commit": "0c0ffee"}')
    with zipfile.ZipFile(place.pack / "nnunet" / "peer-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("peer_of_the_pack.py", "")
    environment = gpu_day.environment_of(place)
    assert gpu_day.has("peer_of_the_pack", environment)
    assert environment["GIT_COMMIT"] == "0c0ffee"
    (place.pack / "pack.json").unlink()
    with pytest.raises(UserError, match="not a pack"):
        gpu_day.environment_of(place)


def test_processes_of_jobs_take_scipys_filters_where_simpleitk_is_missing(tmp_path):
    (tmp_path / "SimpleITK.py").write_text("raise ImportError")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    gpu_day.replace_filters(environment, tmp_path / "start")
    code = "from model.images import components; print(components.connected_components.__code__.co_filename)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == without_simpleitk.__file__, done.stderr
    environment, before = dict(os.environ), dict(os.environ)
    gpu_day.replace_filters(environment, tmp_path / "other")
    assert environment == before
    assert not (tmp_path / "other").exists()


def test_nnunets_raw_dataset_is_the_packed_case(tmp_path):
    case = invented_case(1)
    gpu_nnunet.write_raw([case], tmp_path)
    image = sitk.ReadImage(str(tmp_path / "imagesTr" / "case1_0001.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), case.adc)
    np.testing.assert_allclose(image.GetSpacing()[::-1], case.spacing_mm)
    for name in ("case1_0000", "case1"):
        (tmp_path / f"{name}.nii.gz").write_bytes(next(tmp_path.glob(f"*Tr/{name}.nii.gz")).read_bytes())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "case1_0000.nii.gz"))), case.zadc)
    (scores,) = gpu_nnunet.fold_scores([case], tmp_path)
    assert (scores.dice, scores.masd_mm, scores.nsd) == (1, 0, 1)


# --- the pack ---


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packed cases; packages are not fetched."""
    (tmp_path / "packed").mkdir()
    for number in (0, 1):
        write_packed(invented_case(number), tmp_path / "packed")
    monkeypatch.setattr(gpu_pack, "install", lambda site, python: {"monai": "1"})
    monkeypatch.setattr(gpu_pack, "write_expected", lambda cases, path: path.write_bytes(b"masks") and "openvino")
    return tmp_path / "packed"


def test_a_pack_holds_cases_masks_and_what_they_are(packed, tmp_path):
    gpu_pack.make_pack(packed, tmp_path / "pack", "3.12")
    assert sorted(path.name for path in (tmp_path / "pack").rglob("*.npz")) == ["case0.npz", "case1.npz", "expected.npz"]
    facts = json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert (facts["cases"], facts["engine"], facts["packages"]) == (2, "openvino", {"monai": "1"})
    with pytest.raises(UserError, match="is there already"):
        gpu_pack.make_pack(packed, tmp_path / "pack", "3.12")


def test_a_pack_that_is_too_large_leaves_nothing(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_pack, "LARGEST_MIB", 0.001)
    with pytest.raises(UserError, match=r"would take 0\.0 MiB, expected 0\.001 at most"):
        gpu_pack.make_pack(packed, tmp_path / "pack", "3.12")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
