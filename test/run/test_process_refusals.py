"""Everything that cannot be used: exit code 2, one clear last line on stderr, and no mask, also where an older one lay."""

import dataclasses
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from inference_helpers import (
    ADC_FOLDER,
    GRID,
    MASK,
    RESULTS,
    ZADC_FOLDER,
    arguments,
    files_below,
    random_network,
    save_ensemble,
    small_maps,
)
from phantom import write_image

from model.files import only_run
from model.images.volume import write_mask
from model.outputs.record import with_record
from model.report.results import write_results

ADC, ZADC = f"{ADC_FOLDER}/0f3c.mha", f"{ZADC_FOLDER}/0f3c.mha"


def older_output(output: Path) -> None:
    """What a run left of the case before."""
    (output / MASK).parent.mkdir(parents=True, exist_ok=True)
    write_mask(np.ones(GRID.size, bool), GRID, output / MASK)
    write_results(with_record({}, output), output / RESULTS)


def refused(capfd: pytest.CaptureFixture, code: int) -> str:
    """The one line that says why."""
    out, err = capfd.readouterr()
    assert code == 2
    assert all(line.startswith(("weights: ", "using torch, ")) for line in out.splitlines())  # weights without a graph
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    return err.splitlines()[-1]


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], grid=GRID) -> None:
    write_image(change(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))), grid, path)


def voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels[3, 4, 5] = value
        return voxels

    return change


def same(voxels: np.ndarray) -> np.ndarray:
    return voxels


def write_raw(path: Path, voxels: np.ndarray, is_vector: bool = False) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(voxels, isVector=is_vector), str(path))


def swap(case: Path) -> None:
    (case / ADC).rename(case / "x")
    (case / ZADC).rename(case / ADC)
    (case / "x").rename(case / ZADC)


def no_folder(case: Path) -> None:
    (case / ZADC).unlink()
    (case / ZADC_FOLDER).rmdir()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-500] ^= 0x10
    path.write_bytes(data)


SHIFTED = dataclasses.replace(GRID, origin_mm=(-31.25, 12.5, -70.0))
SMALLER = dataclasses.replace(GRID, size=(7, 15, 11))

# what is done to the case, what the last line names, and what it says
BAD_CASES = {
    "no folder": (no_folder, [ZADC_FOLDER], "expected a folder"),
    "no image": (lambda case: (case / ADC).unlink(), [ADC_FOLDER], "found nothing"),
    "two images": (lambda case: (case / ADC_FOLDER / "b.mha").touch(), [ADC_FOLDER], "found 0f3c.mha, b.mha"),
    "unreadable": (lambda case: (case / ADC).write_text("no image"), [ADC], "no readable image"),
    "folder for a file": (
        lambda case: (case / ADC).unlink() or (case / ADC).mkdir(),
        [ADC],
        "no readable image|cannot be read",
    ),
    "cut off": (lambda case: cut(case / ZADC), [ZADC], "cut off"),
    "damaged": (lambda case: damage(case / ADC), [ADC], "damaged|cut off"),
    "2D": (lambda case: write_raw(case / ADC, small_maps()[0][3]), [ADC], "expected a 3D image"),
    "4D": (lambda case: write_raw(case / ZADC, small_maps()[1].reshape(7, 5, 3, 12)), [ZADC], "expected a 3D image"),
    "components": (lambda case: write_raw(case / ADC, small_maps()[0].reshape(7, 15, 4, 3), True), [ADC], "one component"),
    "sizes": (
        lambda case: rewrite(case / ZADC, lambda v: v[:, :, :-1], SMALLER),
        [ADC, ZADC],
        r"\(7, 15, 12\) and \(7, 15, 11\)",
    ),
    "grids": (lambda case: rewrite(case / ZADC, same, SHIFTED), [ADC, ZADC], r"-70.75\) and \(-31.25, 12.5, -70\)"),
    "NaN": (lambda case: rewrite(case / ADC, voxel(np.nan)), [ADC], "1 of 1260 voxels are NaN or infinite"),
    "infinite": (lambda case: rewrite(case / ZADC, voxel(-np.inf)), [ZADC], "1 of 1260 voxels are NaN or infinite"),
    "no brain": (lambda case: rewrite(case / ADC, np.zeros_like), [ADC], "no brain"),
    "negative brain": (lambda case: rewrite(case / ADC, lambda v: -np.abs(v)), [ADC], "no brain"),
    "swapped": (swap, [ADC, ZADC], "look swapped"),
    "manifest": (lambda case: (case / "inputs.json").write_text("[{"), ["inputs.json"], "not readable as JSON"),
}


@pytest.mark.parametrize(("spoil", "named", "reason"), BAD_CASES.values(), ids=BAD_CASES.keys())
def test_bad_case(main, case_tree, tmp_path, rule_weights, capfd, spoil, named, reason):
    case, output = case_tree(), tmp_path / "output"
    spoil(case)
    older_output(output)
    line = refused(capfd, main(arguments(case, output, rule_weights)))
    assert all(str(case / name) in line for name in named)
    assert re.search(reason, line.replace(str(tmp_path), ""))
    assert files_below(output) == []


def test_missing_input_folder(main, tmp_path, rule_weights, capfd):
    older_output(tmp_path / "output")
    line = refused(capfd, main(arguments(tmp_path / "nowhere", tmp_path / "output", rule_weights)))
    assert str(tmp_path / "nowhere") in line
    assert files_below(tmp_path / "output") == []


def test_file_name_of_two_lines_makes_no_second_line(main, case_tree, tmp_path, rule_weights, capfd):
    case = case_tree()
    (case / ADC).rename(case / ADC_FOLDER / "adc\nmap.txt")
    line = refused(capfd, main(arguments(case, tmp_path / "output", rule_weights)))
    assert str(case / ADC_FOLDER) in line


def without_weights(folder: Path) -> str:
    for path in folder.iterdir():
        path.unlink()
    return str(folder)


def without_sidecar(folder: Path) -> str:
    (folder / "net0.json").unlink()
    return str(folder / "net0.json")


def cut_weights(folder: Path) -> str:
    cut(folder / "net0.safetensors")
    return str(folder / "net0.safetensors")


def altered_weights(folder: Path) -> str:
    damage(folder / "net0.safetensors")
    return str(folder / "net0.safetensors")


def lying_sidecar(folder: Path) -> str:
    path = folder / "net0.json"
    sidecar = json.loads(path.read_text())
    sidecar["inference"]["threshold"] = "0.5"
    path.write_text(json.dumps(sidecar))
    return str(path)


@pytest.mark.parametrize("spoil", [without_weights, without_sidecar, cut_weights, altered_weights, lying_sidecar])
def test_bad_weights(main, case_tree, tmp_path, capfd, spoil):
    weights, output = save_ensemble(tmp_path / "weights", random_network(1)), tmp_path / "output"
    name = spoil(weights)
    older_output(output)
    assert name in refused(capfd, main(arguments(case_tree(), output, weights)))
    assert files_below(output) == []


def test_output_that_is_a_file(main, case_tree, tmp_path, rule_weights, capfd):
    (tmp_path / "output").write_text("in the way")
    line = refused(capfd, main(arguments(case_tree(), tmp_path / "output", rule_weights)))
    assert f"{tmp_path / 'output'}: output cannot be written there" in line
    assert (tmp_path / "output").read_text() == "in the way"


def test_output_that_no_one_may_write(main, case_tree, rule_weights, capfd):
    line = refused(capfd, main(arguments(case_tree(), Path("/proc/output"), rule_weights)))
    assert "/proc/output: output cannot be written there" in line


@pytest.mark.parametrize("ways", [[], ["--cases"]], ids=["one case", "a folder"])
def test_an_output_folder_that_is_closed_is_told_before_weights_are_loaded(
    main, case_tree, tmp_path, monkeypatch, capfd, ways
):
    """As for a user other than the folder's, though the tests may run as root, who may write everywhere.

    The folder of weights has none: loading them first would be told.
    """
    output, root = tmp_path / "output", case_tree()
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/a").symlink_to(root)

    def closed(**options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(options["dir"]))

    monkeypatch.setattr("tempfile.TemporaryFile", closed)
    line = refused(capfd, main([*arguments(tmp_path / "scans" if ways else root, output, tmp_path), *ways]))
    assert line.startswith(f"error: {output}")
    assert "output cannot be written there (Permission denied: " in line
    assert line.endswith('; make the folder first, and start a container with --user "$(id -u):$(id -g)"')


def test_disk_that_is_full_leaves_neither_file(main, case_tree, tmp_path, rule_weights, monkeypatch, capfd):
    def half(image: sitk.Image, path: str, **options: object) -> None:
        Path(path).write_bytes(b"ObjectType = Image\nNDims")

    case, output = case_tree(), tmp_path / "output"
    monkeypatch.setattr("model.images.volume.sitk.WriteImage", half)
    assert str(output / MASK) in refused(capfd, main(arguments(case, output, rule_weights)))
    assert files_below(output) == []


def test_cuda_on_demand_where_there_is_none(main, case_tree, tmp_path, rule_weights, monkeypatch, capfd):
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no driver")

    monkeypatch.setattr(torch, "ones", fail)
    older_output(tmp_path / "output")
    line = refused(capfd, main(arguments(case_tree(), tmp_path / "output", rule_weights, "cuda")))
    assert line == "error: --device cuda: CUDA cannot be used here (no driver)"
    assert files_below(tmp_path / "output") == []


@pytest.mark.parametrize(("kept", "lost"), [(ADC_FOLDER, ZADC_FOLDER), (ZADC_FOLDER, ADC_FOLDER)])
def test_one_map_in_both_sockets_is_refused(main, case_tree, tmp_path, rule_weights, capfd, kept, lost):
    case = case_tree()
    source, target = (next((case / folder).iterdir()) for folder in (kept, lost))
    target.write_bytes(source.read_bytes())
    assert "expected ADC in 1e-6mm2/s" in refused(capfd, main(arguments(case, tmp_path / "output", rule_weights)))


def test_output_of_a_run_under_way_is_refused_and_left_alone(main, case_tree, tmp_path, rule_weights, capfd):
    older_output(tmp_path / "output")
    before = files_below(tmp_path / "output")
    with only_run(tmp_path / "output"):
        line = refused(capfd, main(arguments(case_tree(), tmp_path / "output", rule_weights)))
    assert line == f"error: {tmp_path / 'output'}: another run is writing there; give each run its own output folder"
    assert files_below(tmp_path / "output") == before


def test_name_that_is_not_utf8_is_refused(main, case_tree, tmp_path, rule_weights, capfd):
    case = case_tree()
    image = next((case / ADC_FOLDER).iterdir())
    image.rename(os.fsdecode(os.fsencode(image.parent) + b"/\xff.mha"))
    assert "printable name" in refused(capfd, main(arguments(case, tmp_path / "output", rule_weights)))


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3])
def test_adc_in_another_unit_is_named(main, case_tree, tmp_path, rule_weights, capfd, factor):
    case = case_tree()
    rewrite(next((case / ADC_FOLDER).iterdir()), lambda adc: (adc * factor).astype(np.float32))
    line = refused(capfd, main(arguments(case, tmp_path / "output", rule_weights)))
    assert "expected ADC in 1e-6mm2/s" in line
    hints = {1e-6: "--adc-unit mm2/s", 1e-3: "--adc-unit 1e-3mm2/s"}
    assert line.endswith(hints.get(factor, ""))


def test_server_without_weights_does_not_start(main, tmp_path, capfd):
    line = refused(capfd, main(["--serve", "--device", "cpu", "--weights", str(tmp_path)]))
    assert line.startswith(f"error: {tmp_path}: no weights")


def test_unknown_argument_is_exit_code_2_as_well(main, capfd):
    with pytest.raises(SystemExit) as stop:
        main(["--device", "tpu"])
    assert stop.value.code == 2
    assert "tpu" in capfd.readouterr().err.splitlines()[-1]
