"""The numbers beside a mask, for `results.json`."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import model
from model.files import write_whole
from model.images.brain import brain_box
from model.images.case import Case
from model.images.checks import warnings_of
from model.images.components import largest_first
from model.images.orientation import turn_to_canonical
from model.images.registered import Registration
from model.lesions.decision import plug_in_dice

if TYPE_CHECKING:
    from model.networks.predict import Predictor, Segmentation

GIVEN, ESTIMATED = "given", "estimated"  # what `z_map` says
MIDLINE_MM = 5.0  # to the left or the right of the brain's middle, up to which a place counts as on the midline
BOTH_SIDES = 0.2  # of a lesion's voxels to the left of the midline, and as many to its right: it is on both sides
CHANCE = "chance_of_lesion"
REVIEW = "review"  # what is known of a reader's review, where the mask is a reviewed one
VOXELS = "voxels_sha256"  # of the ADC map, under `inputs`
LIBRARIES = ("numpy", "SimpleITK", "nibabel", "pydicom", "highdicom", "torch", "openvino")


def describe(found: Segmentation, case: Case) -> dict:
    """Lesion and brain volume in ml, the lesions' share of the brain, their number, and what is known of each lesion.

    CHANCE and `expected_dice` are those of `model.lesions.certainty`, None where the weights do not say them; the latter
    also where the mask is empty.
    """
    brain, voxel_mm3 = case.brain, case.grid.voxel_mm3
    lesions = describe_lesions(found, case)
    mask_ml = float(found.mask.sum()) * voxel_mm3 / 1000
    dice = found.certainty.expected_dice(np.array(plug_in_dice(found.probabilities, found.mask))) if lesions else None
    return {
        "lesion_volume_ml": round(mask_ml, 4),
        "brain_volume_ml": round(float(brain.sum()) * voxel_mm3 / 1000, 2),
        "lesion_share_of_brain": round(float(found.mask.sum() / brain.sum()), 6),
        "lesions": len(lesions),
        CHANCE: _rounded(found.certainty.chance_of_lesion(np.array(mask_ml), np.array(len(lesions)))),
        "expected_dice": _rounded(dice),
        "lesion_list": lesions,
    }


def side(left_mm: float, share_left: float, share_right: float) -> str:
    """Where a lesion lies in the patient: "left", "right", "midline" or "both sides".

    left_mm: of its centre, from the brain's middle to the left; the shares of its voxels further than MIDLINE_MM to a side.
    """
    if min(share_left, share_right) >= BOTH_SIDES:
        return "both sides"
    if abs(left_mm) <= MIDLINE_MM:
        return "midline"
    return "left" if left_mm > 0 else "right"


def from_brain_centre(places: np.ndarray, case: Case) -> np.ndarray:
    """How far from the brain's centroid places in the array, (place, 3) as (z, y, x), lie: (place, 3) in mm, left, back, up.

    Along the image's own axes, each taken as the nearest of the patient's: a scan is aligned with the head, which may be
    turned in the scanner.
    """
    turn = turn_to_canonical(case.grid)
    stored_mm = (places - case.brain_centre) * case.grid.spacing_mm
    up_back_left = stored_mm[:, turn.axes] * np.where(turn.reversed, -1.0, 1.0)
    return up_back_left[:, ::-1]


def describe_lesions(found: Segmentation, case: Case) -> list[dict]:
    """An entry per 26-connected component of the mask, the largest first; none for an empty mask.

    `centre_mm` is the centroid in the scanner's space (x, y, z), `from_brain_centre_mm` the same as in `from_brain_centre`
    and `side` as in `side`, both None where the header does not say how the voxels lie in the patient. `inside_mm` is the
    lesion's voxel that is nearest to the centroid, and `slice` the slice of this voxel, along the array's first axis and
    counted from 1. `chance_real` is the chance that a reader marks REAL_SHARE of the lesion or more
    (`model.lesions.certainty`), None where the weights do not say it.
    """
    if not found.mask.any():
        return []
    box = brain_box(found.mask, margin=0)
    mask = found.mask[box]
    labels = largest_first(mask)[mask]
    order = np.argsort(labels, kind="stable")  # lesion after lesion; all lesions at once, there can be thousands
    sizes = np.bincount(labels)[1:]
    starts = np.cumsum(sizes) - sizes

    def means(values: np.ndarray) -> np.ndarray:
        return (np.add.reduceat(values[order].astype(float), starts).T / sizes).T

    places = np.argwhere(mask) + [part.start for part in box]
    centres = means(places)
    off_centre_mm = np.linalg.norm((places - centres[labels - 1]) * case.grid.spacing_mm, axis=1)
    inside = places[np.lexsort((off_centre_mm, labels))[starts]]  # a bent lesion's centre may be outside of it
    offsets_mm = from_brain_centre(centres, case)
    left_mm = from_brain_centre(places, case)[:, 0]
    shares = means(np.column_stack([left_mm > MIDLINE_MM, left_mm < -MIDLINE_MM]))
    lowest_z = np.minimum.reduceat(case.zadc.voxels[box][mask][order], starts)
    volumes_ml = sizes * case.grid.voxel_mm3 / 1000
    chances = found.certainty.chance_real(volumes_ml)
    return [
        {
            "volume_ml": round(float(volumes_ml[n]), 4),
            "lowest_z": round(float(lowest_z[n]), 3),
            "centre_mm": case.grid.to_mm(centres[n]).round(2).tolist(),
            "inside_mm": case.grid.to_mm(inside[n]).round(2).tolist(),
            "from_brain_centre_mm": offsets_mm[n].round(1).tolist() if case.adc.oriented else None,
            "side": side(offsets_mm[n][0], *shares[n]) if case.adc.oriented else None,
            "slice": int(inside[n][0]) + 1,
            "chance_real": None if chances is None else _rounded(chances[n]),
        }
        for n in range(len(sizes))
    ]


def _rounded(value: np.ndarray | float | None, digits: int = 4) -> float | None:
    """None where the number is not known, or not finite, which JSON does not have."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def describe_files(case: Case) -> dict:
    """What was read, where the Z map is from, and what is unusual about the input; of DICOM also the ADC map's `series`."""
    files = {"adc": case.adc, "zadc": None if case.estimated else case.zadc, "brain_mask": case.brain_mask}
    inputs = {what: {"file": volume.path.name, "sha256": volume.sha256} for what, volume in files.items() if volume}
    inputs["adc"][VOXELS] = voxel_digest(case)
    return {
        "z_map": ESTIMATED if case.estimated else GIVEN,
        **({"registration": describe_registration(case.registration)} if case.registration else {}),
        "warnings": warnings_of(case),
        "adc_unit": case.adc_unit,
        "space": case.space,
        **({"series": case.adc.dicom.series} if case.adc.dicom else {}),
        "inputs": inputs,
    }


def describe_registration(found: Registration) -> dict:
    """How a brain fits the atlas: see `Registration`; scale along (z, y, x)."""
    return {
        "correlation": _rounded(found.correlation),
        "scale": [round(part, 3) for part in found.scale],
        "largest_displacement_mm": round(found.largest_mm, 2),
        "adc_ratio": _rounded(found.adc_ratio, 3),
        "atlas": found.atlas,
        "atlas_used": found.usable,
    }


def voxel_digest(case: Case) -> str:
    """SHA-256 of the ADC in the brain's box: its size, and float32 values in 1e-6 mm2/s, 0 outside the brain.

    In the order of axial slices, so that copies in another format, order of storage or field of view have the same.
    """
    turn = turn_to_canonical(case.grid)
    brain = turn.to_canonical(case.brain)
    box = brain_box(brain, margin=0)
    adc = np.where(brain[box], turn.to_canonical(case.adc.voxels)[box], 0).astype("<f4")
    return hashlib.sha256(f"{adc.shape}".encode() + adc.tobytes()).hexdigest()


@functools.cache
def version(library: str) -> str:
    """Of an installed library. Asked once: reading a library's metadata takes milliseconds."""
    return importlib.metadata.version(library)


def describe_run(predictor: Predictor) -> dict:
    """What it was done with: device, engine, weights, number of networks, versions of this project and of its libraries."""
    libraries = {name: version(name) for name in LIBRARIES if name in sys.modules}
    software = {"hie-lesions": model.__version__, "python": platform.python_version()} | libraries
    ensemble = predictor.ensemble
    run = {"device": ensemble.device, "engine": ensemble.engine, "weights": ensemble.id}
    return run | {"networks": len(ensemble.networks), "software": software}


def write_results(results: dict, path: Path) -> None:
    """Write as JSON, whole or not at all. Raises UserError when the file cannot be written."""
    write_whole(path, (json.dumps(results, indent=1) + "\n").encode())
