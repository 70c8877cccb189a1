"""Brain masks as 3D Slicer saves them (.seg.nrrd): layers, labels, cut to what they hold. The files are written out here."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from dicom_phantom import change, write_series
from inference_helpers import GRID, small_maps
from phantom import write_image

from model.errors import UserError
from model.images.case import read_case
from model.images.volume import read_volume

ADC = small_maps()[0]
BRAIN = ADC > 0
HEAD = np.where(BRAIN, ADC, 400).astype(np.float32)
BOX = (slice(1, 7), slice(4, 15), slice(3, 11))  # of BRAIN
DIRECTION = np.reshape(GRID.direction, (3, 3))


def write(path: Path, layers: np.ndarray, *segments: dict[str, object], first: tuple = (0, 0, 0), **fields: str) -> Path:
    """Layers of labels, (layer, z, y, x), whose first voxel is GRID's `first`; one layer has no axis of its own."""
    count, z, y, x = layers.shape
    vectors = [f"({','.join(map(repr, (DIRECTION[:, n] * GRID.spacing_mm[2 - n]).tolist()))})" for n in range(3)]
    many = count > 1
    lines = {
        "type": "unsigned char",
        "dimension": "4" if many else "3",
        "space": "left-posterior-superior",
        "sizes": f"{f'{count} ' if many else ''}{x} {y} {z}",
        "space directions": f"{'none ' if many else ''}{' '.join(vectors)}",
        "kinds": f"{'list ' if many else ''}domain domain domain",
        "encoding": "gzip",
        "space origin": f"({','.join(map(repr, GRID.to_mm(np.array(first)).tolist()))})",
    } | fields
    pairs = [f"Segment{n}_{what}:={value}" for n, segment in enumerate(segments) for what, value in segment.items()]
    header = "\n".join(
        ["NRRD0004", *(f"{name}: {value}" for name, value in lines.items()), *pairs, "X:=" + 9000 * "y", "", ""]
    )
    path.write_bytes(header.encode() + gzip.compress(np.moveaxis(layers, 0, -1).tobytes() if many else layers.tobytes()))
    return path


def labels(value: int = 1, box: tuple = (slice(None),) * 3) -> np.ndarray:
    return BRAIN[None][(slice(None), *box)].astype(np.uint8) * np.uint8(value)


def stripped(folder: Path, mask: Path) -> np.ndarray:
    write_image(HEAD, GRID, folder / "adc.nii.gz")
    return read_case(folder / "adc.nii.gz", None, mask_path=mask, smallest_brain_ml=0).adc.voxels


SKULL = (~BRAIN)[None].astype(np.uint8)
TWO = np.concatenate([SKULL, labels()])
ONE = {"LabelValue": 1, "Layer": 0, "Name": "Segment_1"}
WAYS = {
    "whole": (labels(), [ONE]),
    "another label": (labels(7), [ONE | {"LabelValue": 7}]),
    "an older version": (labels(), [{"ID": "brain", "Name": "brain"}]),
    "no pairs but a name": (labels(), [{"Name": "b\u00e9b\u00e9"}]),
    "second layer": (TWO, [ONE | {"Name": "skull"}, ONE | {"Layer": 1, "Name": "Brain mask"}]),
    "second layer, older": (TWO, [{"Name": "skull"}, {"Name": "brain"}]),
    "one segment in the second layer": (TWO, [ONE | {"Layer": 1}]),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_brains_segment_is_the_mask(tmp_path, way):
    layers, segments = WAYS[way]
    found = stripped(tmp_path, write(tmp_path / "mask.seg.nrrd", layers, *segments))
    np.testing.assert_array_equal(found, np.where(BRAIN, ADC, 0))


@pytest.mark.parametrize("box", [BOX, (slice(1, 7), slice(None), slice(2, 12))])
def test_one_that_is_cut_to_what_it_holds_is_filled(tmp_path, box):
    mask = write(
        tmp_path / "Brain.SEG.NRRD", labels(2, box), ONE | {"LabelValue": 2}, first=[part.start or 0 for part in box]
    )
    np.testing.assert_array_equal(stripped(tmp_path, mask), np.where(BRAIN, ADC, 0))


def test_one_that_is_cut_from_dicom_with_rounded_orientations(tmp_path):
    """By how much the origins differ grows with the place of the mask's first voxel."""
    for path in write_series(tmp_path / "adc", HEAD, GRID):
        change(path, ImageOrientationPatient=np.round(DIRECTION.T[:2].ravel(), 3).tolist())
    mask = write(tmp_path / "mask.seg.nrrd", labels(1, BOX), ONE, first=[part.start for part in BOX])
    case = read_case(tmp_path / "adc", None, mask_path=mask, smallest_brain_ml=0)
    np.testing.assert_array_equal(case.brain, BRAIN)


def test_one_of_a_larger_image_is_cut_where_it_is_empty(tmp_path):
    padded = np.pad(labels(), ((0, 0), (2, 1), (0, 3), (1, 0)))
    mask = write(tmp_path / "mask.seg.nrrd", padded, ONE, first=(-2, 0, -1))
    np.testing.assert_array_equal(stripped(tmp_path, mask), np.where(BRAIN, ADC, 0))
    for beyond in ((0, 0, 0), (-1, 0, 1)):  # by two slices below, by one above
        more = padded.copy()
        more[(0, *beyond)] = 1
        with pytest.raises(UserError, match=r"mask\.seg\.nrrd: reaches beyond the ADC map"):
            stripped(tmp_path, write(mask, more, ONE, first=(-2, 0, -1)))


def test_big_endian_shorts(tmp_path):
    mask = write(
        tmp_path / "mask.seg.nrrd",
        ((labels().astype("i2") * 300).astype(">i2")),
        ONE | {"LabelValue": 300},
        type="short",
        endian="big",
    )
    np.testing.assert_array_equal(read_volume(mask).voxels, BRAIN)


BETWEEN = r"adc\.nii\.gz and .*are not on one grid: the mask's first voxel is the map's \(-?\d\.\d\d, "
BOTH = np.where(ADC[None] > 0, 1, 2).astype(np.uint8)
NONE_OF_A_BRAIN = {
    "a lesion": (labels(), [ONE | {"Name": "Infarct left"}], "its segment is called a lesion, a part or the like"),
    "a hemisphere": (labels(), [ONE | {"Name": "left_hemisphere"}], "its segment is called a lesion, a part or the like"),
    "not the brain": (labels(), [ONE | {"Name": "not brain"}], "its segment is called a lesion, a part or the like"),
    "two": (TWO, [ONE, ONE | {"Layer": 1}], "expected one segment, or one called brain, found 2 and 0"),
    "none": (labels(), [], "found 0 and 0"),
    "two in one layer": (BOTH, [ONE | {"Name": "brain"}, ONE | {"LabelValue": 2}], "other segments are in the layer"),
    "a layer that is not there": (labels(), [ONE | {"Layer": 1}], "puts the segment in layer 2, found 1"),
    "a label of 0": (labels(), [ONE | {"LabelValue": 0}], "label 0, expected 0 or more and not 0"),
    "no label": (labels(), [ONE | {"LabelValue": "one"}], "expected whole numbers"),
    "a label that no voxel has": (labels(2), [ONE], "other segments are in the layer"),
    "nothing": (labels(0), [ONE], "it is empty, expected 1 in the brain"),
    **{
        f"voxels between the map's, {first}": (labels(1, BOX), [ONE], BETWEEN, {"first": first})
        for first in ((0.5, 0, 0), (0, 0.1, 0), (0, 0, 1.3))
    },
    "other steps": (
        labels(),
        [ONE],
        "are not on one grid: direction ",
        {"space directions": "(0.8,0,0) (0,1.25,0) (0,0,3)"},
    ),
}


@pytest.mark.parametrize("kind", NONE_OF_A_BRAIN)
def test_what_is_no_brain_is_refused(tmp_path, kind):
    layers, segments, says, *more = NONE_OF_A_BRAIN[kind]
    with pytest.raises(UserError, match=says) as error:
        stripped(tmp_path, write(tmp_path / "mask.seg.nrrd", layers, *segments, **dict(*more)))
    assert "mask.seg.nrrd" in str(error.value)
    assert "Infarct" not in str(error.value)


def test_a_fractional_one_and_one_that_is_cut_off_are_refused(tmp_path):
    mask = write(tmp_path / "mask.seg.nrrd", labels(), ONE)
    whole = mask.read_bytes()
    mask.write_bytes(whole.replace(b"X:=", b"Segmentation_SourceRepresentation:=Fractional labelmap\nX:=", 1))
    with pytest.raises(UserError, match="a fractional segmentation, expected a binary one"):
        read_volume(mask)
    for cut in (100, -20):
        mask.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"mask\.seg\.nrrd: expected a whole image file"):
            read_volume(mask)
