"""Whole runs on invented inputs, legal and damaged ones: a mask, or one clear line and exit code 2, and never half a mask.

Outcomes by kind: `pytest test/images/test_property_inputs.py --hypothesis-show-statistics`;
EXAMPLES in the environment is how many inputs each test tries (default 40). The same inputs every time.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from inference_helpers import (
    ADC_FOLDER,
    MASK,
    RESULTS,
    ZADC_FOLDER,
    arguments,
    files_below,
    rule,
    small_maps,
    write_metaimage,
)

settings.register_profile(
    "inputs",
    max_examples=int(os.environ.get("EXAMPLES", "40")),
    derandomize=True,
    deadline=20_000,  # ms that one run may take
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=False,
)
SETTINGS = settings.get_profile("inputs")
NUMBERS = st.one_of(
    st.sampled_from(
        ["0", "-1", "1", "2", "256", "257", "100000", "2147483648", "18446744073709551616", "nan", "inf", "-inf"]
    ),
    st.sampled_from(["1e-9", "0.19", "1e300", "-1e300", "1,5", "0x10", "", "abc", "\u00e9", "\0"]),
    st.floats(-300, 300).map(repr),
    st.integers(-10, 20).map(str),
)
ELEMENTS = [
    "MET_CHAR",
    "MET_SHORT",
    "MET_LONG",
    "MET_DOUBLE",
    "MET_FLOAT",
    "MET_FLOAT_ARRAY",
    "MET_OTHER",
    "MET_NONE",
    "int",
]


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
            check_mask(output / MASK, next((root / ADC_FOLDER).glob("*.mha")))
            event("mask")
            return "mask"
        assert code == 2, err
        assert "Traceback" not in err
        assert err.splitlines()[-1].startswith("error: ")
        assert files_below(output) == []
        event("refused")
        return err.splitlines()[-1]

    return run


def check_mask(path: Path, adc_path: Path) -> None:
    mask, adc = sitk.ReadImage(str(path)), sitk.ReadImage(str(adc_path))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert np.isin(sitk.GetArrayViewFromImage(mask), (0, 1)).all()
    for name in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{name}")() == getattr(adc, f"Get{name}")(), name


@pytest.fixture
def root() -> Callable[[], tempfile.TemporaryDirectory]:
    """A folder for every example, with the two folders of the maps."""

    def make() -> tempfile.TemporaryDirectory:
        folder = tempfile.TemporaryDirectory()
        for where in (ADC_FOLDER, ZADC_FOLDER):
            Path(folder.name, where).mkdir(parents=True)
        return folder

    return make


def write_small_case(root: Path, **fields: str | None) -> None:
    """The small case's maps with the same header fields, uncompressed."""
    for voxels, where in zip(small_maps(), (ADC_FOLDER, ZADC_FOLDER), strict=True):
        header = {"DimSize": "12 15 7", "ElementSpacing": "0.8 1.25 3"} | fields
        write_metaimage(root / where / "map.mha", voxels.tobytes(), **header)


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
def test_a_legal_case_gets_the_rule(outcome, root, case):
    images, compressed = case
    with root() as folder:
        for image, where in zip(images, (ADC_FOLDER, ZADC_FOLDER), strict=True):
            sitk.WriteImage(image, str(Path(folder, where, "map.mha")), useCompression=compressed)
        brain_ml = np.count_nonzero(sitk.GetArrayFromImage(images[0])) * np.prod(images[0].GetSpacing()) / 1000
        if brain_ml > 2000:  # more than any brain
            assert "expected at most 2000 ml" in outcome(Path(folder))
            return
        assert outcome(Path(folder)) == "mask"
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(Path(folder, "output", MASK))))
        np.testing.assert_array_equal(mask, rule(*map(sitk.GetArrayFromImage, images)))


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "NDims": NUMBERS,
        "DimSize": st.lists(NUMBERS, max_size=5).map(" ".join),
        "ElementSpacing": st.lists(NUMBERS, max_size=4).map(" ".join),
        "Offset": st.lists(NUMBERS, min_size=2, max_size=4).map(" ".join),
        "TransformMatrix": st.lists(NUMBERS, min_size=8, max_size=10).map(" ".join),
        "ElementType": st.sampled_from(ELEMENTS),
        "ElementNumberOfChannels": NUMBERS,
        "CompressedData": st.sampled_from(["True", "False", "maybe"]),
        "BinaryData": st.sampled_from(["True", "False"]),
        "HeaderSize": NUMBERS,
        "ElementDataFile": st.sampled_from(["LOCAL", "LIST", "/etc/passwd", "/dev/zero", ".", "map.mha"]),
    },
)


@SETTINGS
@given(fields=HEADERS)
def test_damaged_headers(outcome, root, fields):
    with root() as folder:
        write_small_case(Path(folder), **fields)
        outcome(Path(folder))


@SETTINGS
@given(
    field=st.sampled_from(["DimSize", "ElementSpacing", "Offset", "TransformMatrix"]), place=st.integers(0, 8), new=NUMBERS
)
def test_one_number_of_both_headers_is_another(outcome, root, field, place, new):
    words = {"DimSize": "12 15 7", "TransformMatrix": "1 0 0 0 1 0 0 0 1"}.get(field, "1 1 3").split()
    words[place % len(words)] = new
    with root() as folder:
        write_small_case(Path(folder), **{field: " ".join(words)})
        outcome(Path(folder))


@SETTINGS
@given(where=st.sampled_from([ADC_FOLDER, ZADC_FOLDER]), share=st.floats(0, 1, exclude_max=True), compressed=st.booleans())
def test_a_file_cut_off_anywhere_is_never_a_mask(outcome, root, where, share, compressed):
    with root() as folder:
        write_small_case(Path(folder))
        path = Path(folder, where, "map.mha")
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path), useCompression=compressed)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        assert str(path) in outcome(Path(folder))


@SETTINGS
@given(where=st.sampled_from([ADC_FOLDER, ZADC_FOLDER]), more=st.binary(min_size=1, max_size=100), compressed=st.booleans())
def test_a_file_with_something_behind_it_is_never_a_mask(outcome, root, where, more, compressed):
    with root() as folder:
        write_small_case(Path(folder))
        path = Path(folder, where, "map.mha")
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path), useCompression=compressed)
        path.write_bytes(path.read_bytes() + more)
        assert str(path) in outcome(Path(folder))


@SETTINGS
@given(where=st.sampled_from([ADC_FOLDER, ZADC_FOLDER]), content=st.binary(max_size=300))
def test_a_file_of_anything_is_never_a_mask(outcome, root, where, content):
    with root() as folder:
        write_small_case(Path(folder))
        Path(folder, where, "map.mha").write_bytes(content)
        assert str(Path(folder, where, "map.mha")) in outcome(Path(folder))


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40)


@SETTINGS
@given(name=NAMES, below=NAMES, link=st.booleans())
def test_names_of_any_letters(outcome, root, name, below, link):
    """A mask where the name can be printed; the case in a folder of such a name, its ADC map there or behind a link."""
    assume(below not in (".", "..") and len(name.encode()) < 200 and len(below.encode()) < 200)
    with root() as folder:
        case = Path(folder, below)
        for where in (ADC_FOLDER, ZADC_FOLDER):
            (case / where).mkdir(parents=True)
        write_small_case(case)
        path, target = case / ADC_FOLDER / "map.mha", case / ADC_FOLDER / f"{name}.mha"
        if link:
            elsewhere = Path(folder, "elsewhere.mha")
            path.rename(elsewhere)
            target.symlink_to(elsewhere)
        else:
            path.rename(target)
        found = outcome(case)
        assert (found == "mask") == (f"{name}.mha".isprintable() and not name.startswith(".")), found


@SETTINGS
@given(
    manifest=st.recursive(
        st.none() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["socket", "interface", "slug", "relative_path"]), inner)
        ),
    )
)
def test_manifests_of_any_shape(outcome, root, manifest):
    import json

    with root() as folder:
        write_small_case(Path(folder))
        Path(folder, "inputs.json").write_text(json.dumps(manifest))
        assert "inputs.json" in outcome(Path(folder))
