"""Everything that cannot be used: exit code 2, one clear last line on stderr, and no mask, also where an older one lay."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
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
    voxels_of,
)
from phantom import write_image

from model.files import only_run
from model.images.volume import write_mask
from model.outputs.record import with_record
from model.report.results import write_results

ADC, ZADC = f"{ADC_FOLDER}/0f3c.mha", f"{ZADC_FOLDER}/0f3c.mha"


@pytest.fixture
def refused(main, output, rule_weights, capfd) -> Callable[..., str]:
    """Runs a case where an older one was; returns the one line that says why not. The older mask is gone."""

    def run(case: Path, weights: Path = rule_weights, output: Path = output, device: str = "cpu", more: tuple = ()) -> str:
        usable = not output.is_relative_to("/proc") and not output.is_file()
        if usable:
            (output / MASK).parent.mkdir(parents=True)
            write_mask(np.ones(GRID.size, bool), GRID, output / MASK)
            write_results(with_record({}, output), output / RESULTS)
        assert main([*arguments(case, output, weights, device), *more]) == 2
        out, err = capfd.readouterr()
        assert all(line.startswith(("weights: ", "using torch, ")) for line in out.splitlines())  # weights without a graph
        assert err.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in err
        assert not usable or files_below(output) == []
        return err.splitlines()[-1]

    return run


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], grid=GRID) -> None:
    write_image(change(voxels_of(path)).astype(np.float32), grid, path)


def not_utf8(case: Path) -> None:
    (case / ADC).rename(os.fsdecode(os.fsencode(case / ADC_FOLDER) + b"/\xff.mha"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


SHIFTED = dataclasses.replace(GRID, origin_mm=(-31.25, 12.5, -70.0))

# what is done to the case, what the last line names, and what it says
BAD_CASES = {
    "two lines": (lambda case: (case / ADC).rename(case / ADC_FOLDER / "a\nb.txt"), [ADC_FOLDER], "found a b.txt"),
    "not UTF-8": (not_utf8, [], "printable name"),
    "cut off": (lambda case: cut(case / ZADC), [ZADC], "cut off"),
    "grids": (lambda case: rewrite(case / ZADC, np.copy, SHIFTED), [ADC, ZADC], r"-70.75\) and \(-31.25, 12.5, -70\)"),
    "no brain": (lambda case: rewrite(case / ADC, lambda adc: -np.abs(adc)), [ADC], "no brain"),
    "ADC twice": (lambda case: (case / ZADC).write_bytes((case / ADC).read_bytes()), [], "expected ADC in 1e-6mm2/s"),
    "mm2/s": (lambda case: rewrite(case / ADC, lambda adc: adc * 1e-6), [ADC], "expected ADC in .*--adc-unit mm2/s$"),
    "1e-3mm2/s": (lambda case: rewrite(case / ADC, lambda adc: adc * 1e-3), [ADC], "expected.*--adc-unit 1e-3mm2/s$"),
    "1e-9mm2/s": (lambda case: rewrite(case / ADC, lambda adc: adc * 1e3), [ADC], "expected ADC in 1e-6mm2/s"),
}


@pytest.mark.parametrize(("spoil", "named", "reason"), BAD_CASES.values(), ids=BAD_CASES)
def test_bad_case(refused, case_tree, spoil, named, reason):
    case = case_tree()
    spoil(case)
    line = refused(case)
    assert all(str(case / name) in line for name in named)
    assert re.search(reason, line)


def test_bad_weights(refused, case_tree, tmp_path):
    weights = save_ensemble(tmp_path / "weights", random_network(1))
    cut(weights / "net0.safetensors")
    assert str(weights / "net0.safetensors") in refused(case_tree(), weights)


@pytest.mark.parametrize("ways", [(), ("--cases",)], ids=["one case", "a folder"])
def test_output_that_cannot_be_written_is_told_before_weights_are_loaded(refused, case_tree, tmp_path, ways):
    """The folder of weights has none: loading them first would be told. Below /proc not even root may write."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/a").symlink_to(case_tree())
    for output in (tmp_path / "file", Path("/proc/output"), Path("/proc")):
        line = refused(tmp_path / ("scans" if ways else "input"), tmp_path / "scans", output, more=ways)
        assert line.startswith(f"error: {output}: output cannot be written there (")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="CUDA may be here")
def test_cuda_on_demand_where_there_is_none(refused, case_tree):
    assert refused(case_tree(), device="cuda").startswith("error: --device cuda: CUDA cannot be used here (")


def test_output_of_a_run_under_way_is_refused_and_left_alone(main, case_tree, output, rule_weights, capfd):
    with only_run(output):
        (output / RESULTS).write_text("of the other run")
        assert main(arguments(case_tree(), output, rule_weights)) == 2
    line = f"error: {output}: another run is writing there; give each run its own output folder"
    assert capfd.readouterr().err.splitlines() == [line]
    assert (output / RESULTS).read_text() == "of the other run"


def test_server_without_weights_does_not_start(main, tmp_path, capfd):
    assert main(["--serve", "--device", "cpu", "--weights", str(tmp_path)]) == 2
    assert capfd.readouterr().err.startswith(f"error: {tmp_path}: no weights")
