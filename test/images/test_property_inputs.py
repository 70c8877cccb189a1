"""Whole runs on invented inputs: a mask, or one clear line and exit code 2, and never half a mask.

Outcomes by kind: `pytest test/images/test_property_inputs.py --hypothesis-show-statistics`;
EXAMPLES in the environment is how many inputs each test tries (default 10). The same inputs every time.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from inference_helpers import ADC_FOLDER, GRID, MASK, RESULTS, ZADC_FOLDER, arguments, files_below, rule, small_maps
from phantom import write_image

SETTINGS = settings(
    max_examples=int(os.environ.get("EXAMPLES", "10")),
    derandomize=True,
    deadline=20_000,  # ms that one run may take
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=False,
)


@pytest.fixture
def outcome(main: Callable, rule_weights: Path, capfd: pytest.CaptureFixture) -> Callable[[Path], str]:
    """Runs one case and checks everything that must hold whatever the input was; "mask", or why it was refused."""

    def run(root: Path) -> str:
        output = root / "output"
        code = main(arguments(root, output, rule_weights))
        _, err = capfd.readouterr()
        if code == 0:
            assert err == ""
            assert files_below(output) == [MASK, RESULTS]
            adc = sitk.ReadImage(str(next((root / ADC_FOLDER).glob("*.mha"))))
            for name in ("Size", "Spacing", "Origin", "Direction"):
                assert getattr(sitk.ReadImage(str(output / MASK)), f"Get{name}")() == getattr(adc, f"Get{name}")(), name
            event("mask")
            return "mask"
        assert code == 2, err
        assert "Traceback" not in err
        assert err.splitlines()[-1].startswith("error: ")
        assert files_below(output) == []
        event("refused")
        return err.splitlines()[-1]

    return run


def write_small_case(root: Path) -> None:
    for voxels, where in zip(small_maps(), (ADC_FOLDER, ZADC_FOLDER), strict=True):
        (root / where).mkdir(parents=True)
        write_image(voxels, GRID, root / where / "map.mha")


@st.composite
def legal_cases(draw: st.DrawFn) -> tuple[list[sitk.Image], bool]:
    """Maps of any size from 1 voxel per axis, spacing, place, oblique direction and number type; compressed or not."""
    size = draw(st.tuples(*[st.integers(1, 16)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    adc = np.where(rng.random(size) < draw(st.sampled_from((0.1, 0.8, 1.0))), rng.integers(500, 3000, size), 0)
    zadc = np.round(rng.normal(draw(st.sampled_from((-6, -1.5, 0))), 1.5, size))
    assume((adc > 0).any())
    spacing = draw(st.tuples(*[st.sampled_from((0.2, 0.5, 1.0, 1.37, 3.0, 8.0, 100.0))] * 3))
    origin = draw(st.tuples(*[st.floats(-1e4, 1e4)] * 3))
    axes, r = np.linalg.qr(rng.normal(size=(3, 3)))
    images = []
    for voxels in (adc, zadc):
        element = draw(st.sampled_from([np.int16, np.int32, np.int64, np.float32, np.float64]))
        images.append(sitk.GetImageFromArray(voxels.astype(element)))
        images[-1].SetSpacing(spacing)
        images[-1].SetOrigin(origin)
        images[-1].SetDirection((axes * np.sign(np.diag(r))).ravel().tolist())
    return images, draw(st.booleans())


@SETTINGS
@given(case=legal_cases())
def test_a_legal_case_gets_the_rule(outcome, case):
    images, compressed = case
    with tempfile.TemporaryDirectory() as root:
        for image, where in zip(images, (ADC_FOLDER, ZADC_FOLDER), strict=True):
            Path(root, where).mkdir(parents=True)
            sitk.WriteImage(image, str(Path(root, where, "map.mha")), useCompression=compressed)
        brain_ml = np.count_nonzero(sitk.GetArrayFromImage(images[0])) * np.prod(images[0].GetSpacing()) / 1000
        if brain_ml > 2000:  # more than any brain
            assert "expected at most 2000 ml" in outcome(Path(root))
            return
        assert outcome(Path(root)) == "mask"
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(Path(root, "output", MASK))))
        np.testing.assert_array_equal(mask, rule(*map(sitk.GetArrayFromImage, images)))


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40)


@SETTINGS
@given(name=NAMES, below=NAMES, link=st.booleans())
def test_names_of_any_letters(outcome, name, below, link):
    """A mask where the name can be printed; the case in a folder of such a name, its ADC map there or behind a link."""
    assume(below not in (".", "..") and len(name.encode()) < 200 and len(below.encode()) < 200)
    with tempfile.TemporaryDirectory() as root:
        case = Path(root, below)
        write_small_case(case)
        path, target = case / ADC_FOLDER / "map.mha", case / ADC_FOLDER / f"{name}.mha"
        if link:
            target.symlink_to(path.rename(Path(root, "elsewhere.mha")))
        else:
            path.rename(target)
        found = outcome(case)
        assert (found == "mask") == (f"{name}.mha".isprintable() and not name.startswith(".")), found


KEYS = st.sampled_from(["socket", "interface", "slug", "relative_path"])


@SETTINGS
@given(manifest=st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_manifests_of_any_shape(outcome, manifest):
    with tempfile.TemporaryDirectory() as root:
        write_small_case(Path(root))
        Path(root, "inputs.json").write_text(json.dumps(manifest))
        assert "inputs.json" in outcome(Path(root))
