"""The mask as a DICOM Segmentation, which refers to the images that it was made from."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

import model
from model.report.dicom.source import Source, uid_of
from model.report.montage import MASK_COLOUR
from model.report.results import REVIEW
from model.reviews.find import PAGE

MAKER = "hie-lesions"
USE = "research use, not a medical device"
SERIES_NUMBER = 9001


def segmentation(source: Source, mask: np.ndarray, results: dict) -> Segmentation:
    """The object for a boolean (z, y, x) mask on the grid of the source. Every slice is a frame, also of an empty mask.

    results: what results.json holds. The same input gives the same bytes: UIDs are made from the mask, the weights and the
    source's UIDs, and dates are the study's.
    """
    series = source.images[0].SeriesInstanceUID
    instances = ",".join(image.SOPInstanceUID for image in source.images)
    made_of = ("segmentation", series, instances, np.packbits(mask).tobytes(), *made_with(results).values())
    made = Segmentation(
        source_images=source.images,
        pixel_array=mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(results)],
        series_number=SERIES_NUMBER,
        **instance_of(source, made_of),
        device_serial_number=results["weights"],
        plane_positions=[hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, mm) for mm in source.positions_mm],
        omit_empty_frames=False,
        content_label="HIE_LESIONS",
        content_creator_name=creator_of(results),
        content_description=f"HIE lesions{', reviewed' if REVIEW in results else ''}; {USE}",
        series_description="HIE lesions (research use)",
    )
    for item in (*made.DimensionIndexSequence, *made.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = uid_of("dimensions", *made_of)
    without_now(made)
    source.put_identity(made)
    return made


def made_with(results: dict) -> dict[str, str]:
    """What decides on a mask beside the input."""
    reviewed = {"review": results[REVIEW]["sha256"]} if REVIEW in results else {}
    return {"version": model.__version__, "weights": results["weights"], "Z map": results["z_map"]} | reviewed


def creator_of(results: dict) -> str | None:
    """The reviewer's initials as a person's name, in the letters that every character set has; None where none are left."""
    given = unicodedata.normalize("NFD", (results.get(REVIEW) or {}).get("by") or "")
    return "".join(letter for letter in given if letter.isascii() and (letter.isalnum() or letter in " .-")).strip() or None


def _algorithm_type(results: dict) -> SegmentAlgorithmTypeValues:
    """MANUAL is a mask that was drawn elsewhere and shares no voxel with the draft."""
    types, review = SegmentAlgorithmTypeValues, results.get(REVIEW)
    if not review:
        return types.AUTOMATIC
    return types.SEMIAUTOMATIC if review["kind"] == PAGE or review["dice_with_draft"] > 0 else types.MANUAL


def instance_of(source: Source, made_of: Sequence[str | bytes]) -> dict[str, Any]:
    """The arguments that both objects' makers take: their UIDs, which `made_of` decides, what made them and when."""
    date, time = source.content
    return {
        "series_instance_uid": uid_of("series", *made_of),
        "sop_instance_uid": uid_of("instance", *made_of),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": model.__version__,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "content_date": date,
        "content_time": time,
    }


def without_now(made: Dataset) -> None:
    """Remove the optional dates and times of the moment, so that the same input gives the same bytes."""
    names = ("InstanceCreationDate", "InstanceCreationTime", "DateOfSecondaryCapture", "TimeOfSecondaryCapture")
    for name in names:
        made.pop(name, None)
    for item in made.ContributingEquipmentSequence:
        del item.ContributionDateTime


def _description(results: dict) -> SegmentDescription:
    algorithm_type = _algorithm_type(results)
    return SegmentDescription(
        segment_number=1,
        segment_label="HIE lesions",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=algorithm_type,
        algorithm_identification=None
        if algorithm_type == SegmentAlgorithmTypeValues.MANUAL
        else hd.AlgorithmIdentificationSequence(
            name=MAKER,
            family=codes.DCM.ArtificialIntelligence,
            version=model.__version__,
            parameters=made_with(results),
        ),
        anatomic_regions=[codes.SCT.Brain],
        display_color=hd.color.CIELabColor.from_string(f"#{MASK_COLOUR}"),
    )
