"""What the stored numbers of DICOM mean, and what is said of tags that cannot be read."""

import copy
import struct
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_phantom import ROOT, Series, change, edited, save, write_multiframe, write_series
from highdicom.sr.coding import CodedConcept
from inference_helpers import GRID
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian
from refusals import refused

from model.errors import UserError
from model.images.dicom.units import is_map_of_adc
from model.images.missing import without_missing
from model.images.volume import read_volume

RNG = np.random.default_rng(13)
VOXELS = RNG.integers(0, 4096, GRID.size).astype(np.float32)
US, SS = "US", "SS"


def padded(dataset: Dataset, vr: str, *ends: int) -> None:
    for tag, end in zip((0x00280120, 0x00280121), ends, strict=False):
        dataset.add_new(tag, vr, end)


# --- padding ---


@pytest.mark.parametrize(
    ("signed", "stored", "vr", "ends", "is_padding"),
    [
        (0, 16, US, (4000,), lambda v: v == 4000),
        (0, 16, US, (4095, 4000), lambda v: v >= 4000),  # the limit may lie on either side
        (0, 12, US, (65535,), lambda v: v == 4095),  # all bits of a word of which 12 are stored
        (0, 16, SS, (4000, 4095), lambda v: v >= 4000),
        (1, 16, US, (63536,), lambda v: v == -2000),  # 65536 - 2000: the same word as US
        (1, 16, US, (65535, 63536), lambda v: (v >= -2000) & (v < 0)),
        (1, 12, SS, (-32768, -1500), lambda v: v <= -1500),
        (1, 12, US, (2096,), lambda v: v == -2000),  # 4096 - 2000
        (1, 16, "", (-2000, -1500), lambda v: (v >= -2000) & (v <= -1500)),  # in implicit VR
    ],
)
def test_padding_is_missing_in_the_numbers_that_are_stored(tmp_path, signed, stored, vr, ends, is_padding):
    """Which is before the rescale: 2 n - 1 of the number n, which is never 0. The same word is a number of US or of SS."""
    numbers = np.where(RNG.random(GRID.size) < 0.5, VOXELS, RNG.choice([0, 1, 3, 4000, 4001, 4095], GRID.size))
    numbers = (numbers - 2048 * signed).astype(int)
    numbers[:, ::2, ::3] = -2000 if signed else 4000
    paths = write_series(tmp_path, (numbers & (1 << stored) - 1).astype(float), GRID)

    def edit(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, signed
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1
        padded(dataset, vr or (SS if signed else US), *ends)
        if not vr:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    edited(paths, edit)
    found = read_volume(tmp_path, adc=True, keep_nan=True)
    expected = is_padding(numbers)
    assert expected.any()
    assert np.array_equal(np.isnan(found.voxels), expected)
    assert np.array_equal(found.voxels[~expected], 2.0 * numbers[~expected] - 1)
    assert found.nan_is_background == (numbers[expected].max() < 0)


@pytest.mark.parametrize("where", ["file", "group", "unassigned per frame", "unassigned shared"])
def test_padding_of_an_enhanced_file(tmp_path, where):
    """One value in the file, or one for each frame where a file was made of single slices."""
    path = write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID)])

    def edit(dataset: Dataset) -> None:
        kind = "Shared" if "shared" in where else "PerFrame"
        for item in [dataset] if where == "file" else dataset[f"{kind}FunctionalGroupsSequence"]:
            holder = Dataset() if "unassigned" in where else item
            padded(holder, US, 3000, 3500)
            if "unassigned" in where:
                setattr(item, f"Unassigned{kind}ConvertedAttributesSequence", [holder])

    edited([path], edit)
    found = read_volume(path, adc=True, keep_nan=True).voxels
    assert np.array_equal(np.isnan(found), (VOXELS >= 3000) & (VOXELS <= 3500))


def test_a_limit_of_padding_without_a_value_is_refused(tmp_path):
    paths = write_series(tmp_path, VOXELS, GRID)
    edited(paths, lambda dataset: dataset.add_new(0x00280121, US, 4095))
    assert ": its PixelPaddingRangeLimit is there without PixelPaddingValue; " in refused(tmp_path)
    edited(paths, lambda dataset: (dataset.add_new(0x00280120, US, None), dataset.__delitem__("PixelPaddingRangeLimit")))
    assert np.array_equal(read_volume(tmp_path, adc=True).voxels, VOXELS)  # an empty value says nothing


def a_head(padding: float, hole: float) -> np.ndarray:
    """A block of brain of 1000 to 1999 in padding, with a hole of (3 x 2 x 5) voxels."""
    numbers = np.full((9, 15, 12), padding)
    numbers[1:8, 2:13, 2:10] = RNG.integers(1000, 2000, (7, 11, 8))
    numbers[3:6, 5:7, 3:8] = hole
    return numbers


def test_padding_below_0_is_background_around_the_brain_and_refused_within(tmp_path):
    grid = replace(GRID, size=(9, 15, 12), spacing_mm=(4.0, 2.0, 1.5))
    for name, hole in (("whole", 1500), ("hole", -2000)):
        numbers = a_head(-2000, hole).astype(np.int16)
        paths = write_series(tmp_path / name, numbers.view(np.uint16).astype(float), grid)
        edited(paths, lambda dataset: (setattr(dataset, "PixelRepresentation", 1), padded(dataset, SS, -2000)))
    adc, _, said = without_missing(read_volume(tmp_path / "whole", adc=True, keep_nan=True), None)
    assert np.array_equal(adc.voxels == 0, a_head(0, 1500) == 0)
    assert (adc.voxels.min(), said) == (0, "")
    assert read_volume(tmp_path / "whole", adc=True).voxels.min() == 0
    with pytest.raises(UserError, match=f"30 of {9 * 15 * 12} voxels are NaN or infinite inside the brain"):
        without_missing(read_volume(tmp_path / "hole", adc=True, keep_nan=True), None)


# --- parametric maps ---


@pytest.fixture(scope="module")
def parametric_map(tmp_path_factory) -> pydicom.Dataset:
    """VOXELS in um2/s as highdicom writes it: modality OT, no ADC in its image type."""
    paths = write_series(tmp_path_factory.mktemp("source"), VOXELS, GRID, Series(image_type=("A", "B")))
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="x",
        lut_explanation="x",
        unit=CodedConcept("um2/s", "UCUM", "um2/s"),
        value_range=[-1e9, 1e9],
        slope=1.0,
        intercept=0.0,
        quantity_definition=CodedConcept("113041", "DCM", "Apparent Diffusion Coefficient"),
    )
    return highdicom.pm.ParametricMap(
        [pydicom.dcmread(path) for path in paths],
        VOXELS,
        *(f"{ROOT}61", 5, f"{ROOT}62", 1, "Maker", "Model", "1", "4711"),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation(500.0, 1000.0)],
    )


@pytest.mark.parametrize(("modality", "unit", "factor"), [("CT", "um2/s", 1.0), ("OT", "mm2/s", 1e6)])
def test_a_parametric_map_of_adc_is_read_whatever_its_modality(tmp_path, parametric_map, modality, unit, factor):
    made = copy.deepcopy(parametric_map)
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    mapping.MeasurementUnitsCodeSequence[0].CodeValue = unit
    made.Modality = modality
    save(made, tmp_path / "map.dcm")
    found = read_volume(tmp_path, adc=True)
    np.testing.assert_allclose(found.voxels, VOXELS * factor, rtol=1e-6)
    assert found.unit_factor == factor
    made.Modality, mapping.MeasurementUnitsCodeSequence = "OT", []
    save(made, tmp_path / "map.dcm")
    assert "expected an ADC map in images of modality MR, found OT" in refused(tmp_path)


@pytest.mark.parametrize(
    ("unit", "quantity", "is_adc"),
    [
        ("um2/s", ("113290", "DCM", "Mono-exponential Apparent Diffusion Coefficient"), True),
        ("um2/s", ("99ADC", "99LOCAL", "apparent diffusion coefficient"), True),
        ("um2/s", ("113041", "99LOCAL", "Something"), False),
        ("um2/s", ("113289", "DCM", "Diffusion Coefficient"), False),
        ("s/mm2", ("113041", "DCM", "Apparent Diffusion Coefficient"), False),
    ],
)
def test_quantity_and_unit_make_a_parametric_map_of_adc(parametric_map, unit, quantity, is_adc):
    made = copy.deepcopy(parametric_map)
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    mapping.QuantityDefinitionSequence[0].ConceptCodeSequence = [CodedConcept(*quantity)]
    mapping.MeasurementUnitsCodeSequence = [CodedConcept(unit, "UCUM", unit)]
    assert is_map_of_adc(made) is is_adc


@pytest.mark.parametrize(
    ("kind", "padding", "limit"),
    [("Float", -999.5, None), ("DoubleFloat", -999.5, -500.0), ("Float", np.nan, None), ("Float", -np.inf, None)],
)
def test_padding_of_floating_point_numbers(tmp_path, parametric_map, kind, padding, limit):
    made, kept = copy.deepcopy(parametric_map), VOXELS % 3 == 2
    stored = np.frombuffer(made.FloatPixelData, "<f4").astype(float)  # whole numbers
    stored[stored % 3 == 1], stored[stored % 3 == 0] = -700.25, padding
    del made.FloatPixelData
    setattr(made, f"{kind}PixelData", stored.astype("<f4" if kind == "Float" else "<f8").tobytes())
    made.BitsAllocated = 32 if kind == "Float" else 64
    setattr(made, f"{kind}PixelPaddingValue", padding)
    if limit:
        setattr(made, f"{kind}PixelPaddingRangeLimit", limit)
    save(made, tmp_path / "map.dcm")
    found = read_volume(tmp_path, adc=True, keep_nan=True).voxels
    assert np.array_equal(np.isnan(found), ~kept if limit else VOXELS % 3 == 0)
    np.testing.assert_array_equal(found[kept], VOXELS[kept])


# --- tags that cannot be read ---


def put(dataset: Dataset, name: str, text: str) -> None:
    """A tag's value as it stands in the file, also one that pydicom does not write."""
    data = text.encode() + b" " * (len(text) % 2)
    dataset[Tag(name)] = RawDataElement(Tag(name), dictionary_VR(name), len(data), data, 0, False, True)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"RescaleSlope": ""}, "its RescaleSlope is empty, expected a number"),
        ({"RescaleIntercept": ""}, "its RescaleIntercept is empty, expected a number"),
        ({"RescaleSlope": "0,5"}, "its RescaleSlope has a decimal comma, expected a number with a decimal point"),
        ({"RescaleSlope": "1\\2"}, "its RescaleSlope is not a number"),
        ({"PixelSpacing": "1.25\\0,8"}, "its PixelSpacing has a decimal comma, expected 2 numbers with a decimal point"),
        ({"PixelSpacing": "\\"}, "its PixelSpacing is empty, expected 2 numbers"),
        ({"PixelSpacing": "1.25"}, "its PixelSpacing is not 2 numbers"),
        ({"PixelSpacing": "1_0\\1"}, "its PixelSpacing is not 2 numbers"),
        ({"PixelSpacing": "1_0\\1.5\\1.5"}, "its PixelSpacing is not 2 numbers"),
        ({"ImagePositionPatient": "1,5\\2\\3"}, "its ImagePositionPatient has a decimal comma, expected 3 numbers"),
        ({"SpacingBetweenSlices": "", "SliceThickness": "3,0"}, "its SliceThickness has a decimal comma"),
        ({"Columns": ""}, "its Columns is empty, expected a number"),
        ({"NumberOfFrames": "1,0"}, "its NumberOfFrames has a decimal comma"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_tag_that_cannot_be_read_is_named(tmp_path, tags, says):
    paths = write_series(tmp_path, VOXELS, GRID)
    edited(paths[2:3], lambda dataset: [put(dataset, name, value) for name, value in tags.items()])
    message = refused(tmp_path)
    assert says in message
    assert message.endswith("; correct the tag or export the images again")


@pytest.mark.parametrize(
    ("slope", "part", "tags", "says"),
    [
        (0.5, slice(2, 4), (None, None), "expected a RescaleSlope in each slice or in none, 2 of 7 have none"),
        (1, slice(2, 4), (None, None), ""),
        (1, slice(7), (2, None), ": it has RescaleSlope without RescaleIntercept; "),
        (1, slice(7), (1, None), ""),
        (1, slice(7), (None, -5), ": it has RescaleIntercept without RescaleSlope; "),
        (1, slice(7), (None, 0), ""),
    ],
)
def test_half_a_rescale_is_refused_where_it_would_change_anything(tmp_path, slope, part, tags, says):
    for path in write_series(tmp_path, VOXELS, GRID, Series(slopes=(slope,)))[part]:
        change(path, RescaleSlope=tags[0], RescaleIntercept=tags[1])
    if says:
        assert says in refused(tmp_path)
    else:
        assert np.array_equal(read_volume(tmp_path, adc=True).voxels, VOXELS)


@pytest.mark.parametrize(("group", "value", "says"), [("PerFrame", "0,5", "has a decimal"), ("Shared", "", "is empty")])
def test_the_tag_of_a_frame_that_cannot_be_read_is_named(tmp_path, group, value, says):
    path, item = write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID)]), Dataset()
    put(item, "RescaleSlope", value)

    def edit(dataset: Dataset) -> None:
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            del frame.PixelValueTransformationSequence
        dataset[f"{group}FunctionalGroupsSequence"][-1].PixelValueTransformationSequence = [item]

    edited([path], edit)
    assert refused(path).startswith(f"{path}: its RescaleSlope {says}")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RealWorldValueSlope", None, "its RealWorldValueSlope is empty, expected a number; "),
        ("RealWorldValueFirstValueMapped", None, "its RealWorldValueFirstValueMapped is empty, expected a number; "),
        ("RealWorldValueLUTData", [1.0, 2.0], "its RealWorldValueMapping has a look-up table, which is not read"),
    ],
)
def test_what_cannot_be_read_of_a_mapping_is_named(tmp_path, name, value, says):
    paths = write_series(tmp_path, VOXELS, GRID, Series(unit="um2/s"))
    edited(paths, lambda dataset: setattr(dataset.RealWorldValueMappingSequence[0], name, value))
    assert says in refused(tmp_path)


@pytest.mark.parametrize("syntax", ["1.2.840.113619.5.2", "not a UID"])
def test_a_transfer_syntax_that_is_not_known_is_named(tmp_path, syntax):
    (path,) = write_series(tmp_path, VOXELS[:1], GRID)
    data = path.read_bytes()
    at = data.index(b"\x02\0\x10\0UI")
    (length,) = struct.unpack_from("<H", data, at + 6)
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    (meta,) = struct.unpack_from("<L", data, 140)
    changed = data[: at + 6] + struct.pack("<H", len(uid)) + uid + data[at + 8 + length :]
    path.write_bytes(changed[:140] + struct.pack("<L", meta + len(uid) - length) + changed[144:])
    named = "not a valid UID" if "not" in syntax else syntax
    expected = f"its transfer syntax is {named}, which is not read; convert it to Explicit VR Little Endian first"
    assert refused(path) == f"{path}: {expected}"
