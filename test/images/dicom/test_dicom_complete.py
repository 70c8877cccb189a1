"""Series that lack slices at an end, and series of two runs: what the headers tell of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantom import ROOT, Series, change, edited, write_multiframe, write_series
from inference_helpers import GRID
from pydicom.dataset import Dataset
from refusals import refused

from model.errors import UserError
from model.images.volume import read_volume

SIZE = (12, 4, 3)
GRID = replace(GRID, size=SIZE)
VOXELS = np.random.default_rng(3).integers(1, 3000, SIZE).astype(np.float32)
WHOLE = slice(0, 12)
IN_ORDER = list(range(1, 13))
ADC, TRACE = Series(), Series(image_type=("ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW"))


def numbered(folder: Path, numbers: Sequence[int], kept: slice = WHOLE, series: Series = ADC, **tags: object) -> Path:
    """A series with these instance numbers from below, of which some slices are there."""
    each = [tags | {"InstanceNumber": number, "SOPInstanceUID": f"{ROOT}8.{number}"} for number in numbers]
    paths = write_series(folder, VOXELS[: len(numbers)], GRID, series, each=each.__getitem__)
    for path in set(paths) - set(paths[kept]):
        path.unlink()
    return folder


def said(folder: Path) -> str:
    """The reason of a refusal, or the warnings."""
    try:
        return " ".join(read_volume(folder, adc=True).remarks)
    except UserError as error:
        return f"REFUSED {error}".replace(f"{folder}: ", "")


def require_said(folder: Path, says: str) -> None:
    message = said(folder)
    assert message.startswith(says)
    assert bool(message) == bool(says)


GE = {"Manufacturer": "GE MEDICAL SYSTEMS", "ImagesInAcquisition": 24}
SAYS_24 = "Its DICOM header says 24 images (ImagesInAcquisition)"


@pytest.mark.parametrize(
    ("tags", "kept", "says"),
    [
        ({"ImagesInAcquisition": 1}, WHOLE, ""),
        ({"ImagesInAcquisition": 12}, slice(0, 9), "REFUSED expected 12 images, as its header says (ImagesInAcqui"),
        (
            {"ImagesInSeries": 12},
            slice(1, 12),
            "REFUSED expected 12 images, as its header says (ImagesInSeries), found ",
        ),
        ({"NumberOfSeriesRelatedInstances": 12}, slice(0, 7), "REFUSED expected 12 images, as its header says (NumberOfSer"),
        ({"NumberOfSlices": 9}, WHOLE, ""),
        ({"NumberOfSlices": 12}, slice(0, 6), "REFUSED expected 12 slices, as its header says (NumberOfSlices), found 6: "),
        # 24 images of an acquisition, of which the ADC map was computed, in GE's headers
        ({"ImagesInAcquisition": 24}, WHOLE, SAYS_24),
        (GE, WHOLE, ""),
        (GE, slice(0, 7), SAYS_24),
        ({"ImagesInAcquisition": 24, "NumberOfSlices": 12}, WHOLE, ""),
    ],
)
def test_more_slices_by_a_tag(tmp_path, tags, kept, says):
    require_said(numbered(tmp_path, IN_ORDER, kept, **tags), says)


def test_images_of_other_types_in_the_series_count(tmp_path):
    """Trace images and the ADC map in one series: its header counts all 24, of which none may be missing."""
    numbered(tmp_path / "trace", IN_ORDER, series=TRACE, ImagesInAcquisition=24)
    numbered(tmp_path / "adc", range(13, 25), ImagesInAcquisition=24)
    assert said(tmp_path) == ""
    max((tmp_path / "adc").iterdir()).unlink()
    assert said(tmp_path).startswith("REFUSED ")


@pytest.mark.parametrize(
    ("of_adc", "of_others"),
    [
        (range(14, 38, 2), [range(1, 13), range(13, 37, 2)]),  # b0 at first, then trace and ADC in turn
        (range(2, 14), [[1]]),  # a capture at first
    ],
)
def test_numbers_of_other_images_of_the_series_are_not_missing(tmp_path, of_adc, of_others):
    numbered(tmp_path / "adc", of_adc)
    for n, numbers in enumerate(of_others):
        numbered(tmp_path / str(n), numbers, series=TRACE)
    assert said(tmp_path) == ""


@pytest.mark.parametrize(
    ("thickness", "spacing", "warned"),
    [
        (2.5, 2.5, True),
        (2, 2.5, True),
        (2.5, 0, False),
        (3, 2.5, False),
        (5, 5, False),
        (2, 4.5, False),
        (None, 2.5, False),
        (8, 0, None),
    ],
)
def test_every_second_slice_is_missing(tmp_path, thickness, spacing, warned):
    """A SpacingBetweenSlices below the thickness may be the room between two slices. Thicker ones may be of two runs."""
    place = replace(GRID, spacing_mm=(5.0, *GRID.spacing_mm[1:]))
    write_series(tmp_path, VOXELS, place, each=lambda z: {"SliceThickness": thickness, "SpacingBetweenSlices": spacing})
    says = "Its DICOM header says 2.5 mm between slices, they lie 5 mm apart: slices between them may be missing."
    runs = "Its DICOM header says 8 mm between slices, they lie 5 mm apart: they may be of two runs."
    assert said(tmp_path) == {True: says, False: "", None: runs}[warned]


@pytest.mark.parametrize(
    ("group", "creator", "element", "kind"),
    [(0x2001, "Philips Imaging DD 001", 0x18, "SL"), (0x0021, "GEMS_RELA_01", 0x4F, "SS")],
)
def test_private_numbers_of_slices(tmp_path, group, creator, element, kind):
    paths = write_series(tmp_path, VOXELS[:8], GRID)
    edited(paths, lambda dataset: dataset.private_block(group, creator, create=True).add_new(element, kind, 12))
    assert "expected 12 slices, as its header says (" in refused(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "kept", "says"),
    [
        (IN_ORDER[::-1], WHOLE, ""),
        ([n - 1 for n in IN_ORDER], WHOLE, ""),
        ([n + 24 for n in IN_ORDER], WHOLE, ""),  # behind two volumes of the same slices
        ([n + 1000 for n in IN_ORDER], WHOLE, ""),
        ([3 * n for n in IN_ORDER], WHOLE, ""),  # the last of three images of each slice
        ([7] * 12, WHOLE, ""),
        ([317, 5, 60, 499, 12, 208, 44, 150, 391, 77, 250, 3], WHOLE, ""),
        (IN_ORDER, slice(5, 12), "REFUSED expected 12 slices, found 7, numbered 6 to 12 (InstanceNumber)"),
        (IN_ORDER[::-1], slice(0, 7), "REFUSED expected 12 slices, found 7, numbered 6 to 12 (InstanceNumber)"),
        ([3 * n for n in IN_ORDER], slice(3, 12), "REFUSED expected 12 slices, found 9, numbered 12 to 36 (InstanceNumber)"),
        ([1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12], slice(0, 10), "REFUSED expected 11 slices, found 10, numbered 1 to 11"),
        ([*range(13, 19), *range(20, 26)], WHOLE, "The ADC map's 12 slices are numbered 13 to 25 (InstanceNumber), so"),
        ([n + 24 for n in IN_ORDER], slice(0, 9), "The ADC map's 9 slices are numbered 25 to 33 (InstanceNumber), so"),
    ],
)
def test_instance_numbers_tell_of_slices_that_are_not_there(tmp_path, numbers, kept, says):
    require_said(numbered(tmp_path, numbers, kept), says)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"InConcatenationNumber": 1, "InConcatenationTotalNumber": 2}, "REFUSED expected 2 files of one concatenation"),
        ({"InConcatenationNumber": 3}, "REFUSED expected 3 files of one concatenation, found 1: "),
        ({"InConcatenationNumber": 1, "InConcatenationTotalNumber": 1}, ""),
        (
            {"ConcatenationFrameOffsetNumber": 0},
            "Its DICOM header says that it is a part of a concatenation, not of how many",
        ),
        ({"ConcatenationFrameOffsetNumber": 12}, "REFUSED expected 2 files of one concatenation, found 1: "),
    ],
)
def test_a_part_of_a_concatenation(tmp_path, tags, says):
    path = write_multiframe(tmp_path / "part.dcm", [(VOXELS, GRID)])
    change(path, ConcatenationUID=ROOT + "55", **tags)
    require_said(path, says)


def test_the_frames_of_a_stack_that_lost_the_first(tmp_path):
    path = write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID)])

    def edit(dataset: Dataset) -> None:
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.FrameContentSequence[0].InStackPositionNumber += 5

    edited([path], edit)
    assert "expected 17 slices, found 12, numbered 6 to 17" in said(path)


def test_more_pixels_than_the_header_says(tmp_path):
    path = write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID)])
    groups = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    kept = [group for group in groups if group.FrameContentSequence[0].InStackPositionNumber <= 9]
    change(path, NumberOfFrames=9, PerFrameFunctionalGroupsSequence=kept)
    assert "its PixelData has 288 bytes, expected 216 by Rows, " in said(path)


@pytest.mark.parametrize("left_out", ["SliceThickness", "SpacingBetweenSlices"])
@pytest.mark.parametrize("is_one_file", [True, False])
def test_two_runs_half_a_slice_apart(tmp_path, is_one_file, left_out):
    """The header says 3 mm, the slices of both lie 1.5 mm apart."""
    between = replace(GRID, origin_mm=tuple(GRID.to_mm(np.array([0.5, 0, 0])).tolist()))
    if is_one_file:

        def edit(dataset: Dataset) -> None:
            for group in dataset.PerFrameFunctionalGroupsSequence:
                content = group.FrameContentSequence[0]
                content.FrameAcquisitionNumber, content.StackID = int(content.StackID), "1"
                del group.PixelMeasuresSequence[0][left_out]

        edited([write_multiframe(tmp_path / "m.dcm", [(VOXELS, GRID), (VOXELS + 1, between)])], edit)
    else:
        for run, grid in enumerate((GRID, between)):
            tags = {"AcquisitionNumber": run + 1, "SOPInstanceUID": None, left_out: None}
            write_series(tmp_path / str(run), VOXELS, grid, each=lambda z, tags=tags: tags)
    tag = "FrameAcquisitionNumber" if is_one_file else "AcquisitionNumber"
    says = f"expected one acquisition, found several in one series ({tag}): slices of 3 mm lie 1.5 mm apart"
    assert refused(tmp_path) == f"{tmp_path}: {says}, those of one between those of another"


def test_a_run_at_both_ends_of_another(tmp_path):
    write_series(tmp_path, VOXELS, GRID, each=lambda z: {"EchoNumbers": 1 + (0 < z < 11)})
    assert "expected one acquisition, found several in one series (EchoNumbers): its slices" in refused(tmp_path)


@pytest.mark.parametrize(
    "each",
    [
        lambda z: {"AcquisitionNumber": z % 2 + 1},  # two packages, as thick as the gap
        lambda z: {"EchoTime": 90 + 1e-4 * (z % 2)},  # which differ by rounding
    ],
)
def test_what_is_of_one_run(tmp_path, each):
    write_series(tmp_path, VOXELS, GRID, each=each)
    assert said(tmp_path) == ""


RUNS = {
    "AcquisitionUID": lambda run, z: f"{ROOT}5{run}",
    "TemporalPositionIdentifier": lambda run, z: run + 1,
    "EchoTime": lambda run, z: 90 + 5 * run,
    "AcquisitionTime": lambda run, z: f"1011{run}{z}",
    "TriggerTime": lambda run, z: 5000 * run + 10 * z,
}


def two_runs(folder: Path, tag: str, number: Callable[[int, int], object], gap: float = 0.5, **tags: object) -> Path:
    """Two runs of six slices, the second a share of the gap further; number(run, slice) is what the tag says."""
    for run in (0, 1):
        grid = replace(GRID, size=(6, *SIZE[1:]), origin_mm=tuple(GRID.to_mm(np.array([run * gap, 0, 0])).tolist()))
        own = [tags | {"SOPInstanceUID": f"{ROOT}7.{run}.{z}", tag: number(run, z)} for z in range(6)]
        write_series(folder / str(run), VOXELS[run::2], grid, each=own.__getitem__)
    return folder


@pytest.mark.parametrize(
    ("tag", "thickness", "gap", "says"),
    [
        *((tag, 3.0, 0.5, f"found several in one series ({tag}): slices of 3 mm lie 1.5 mm apart") for tag in RUNS),
        ("AcquisitionNumber", 1.4, 0.5, ""),  # two packages, as thick as the gap or less
        ("TemporalPositionIdentifier", 1.5, 0.5, "(TemporalPositionIdentifier): its slices"),
        ("EchoNumbers", None, 0.5, "(EchoNumbers): its slices"),
        ("AcquisitionNumber", None, 0.5, "(AcquisitionNumber): its slices"),
        ("AcquisitionNumber", 3.0, 6, ""),  # the second begins where the first ends
        ("SeriesNumber", 3.0, 0.5, "says 3 mm between slices, they lie 1.5 mm apart: they may be of two runs."),
    ],
)
def test_two_runs_by_a_tag_or_their_thickness(tmp_path, tag, thickness, gap, says):
    tags = {"SliceThickness": thickness, "SpacingBetweenSlices": None, "InstanceNumber": None}
    message = said(two_runs(tmp_path, tag, RUNS.get(tag, lambda run, z: run + 1), gap, **tags))
    assert says in message
    assert bool(message) == bool(says)


def test_one_of_two_slabs_lacks_slices(tmp_path):
    each = [{"AcquisitionNumber": z // 6 + 1, "ImagesInAcquisition": 6, "InstanceNumber": z + 1} for z in range(12)]
    paths = write_series(tmp_path, VOXELS, GRID, each=each.__getitem__)
    assert said(tmp_path) == ""
    paths[-1].unlink()
    says = "expected 6 images of each acquisition, as its header says (ImagesInAcquisition), found 5 of one"
    assert says in said(tmp_path)
