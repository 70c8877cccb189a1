"""Damaged images of every format and damaged reviews: read as something usable, or refused in one line, at once.

    INPUTS=20000 SEED=1 .venv/bin/python -m pytest -s test/fuzz

INPUTS in the environment is how many of each format are tried (default 200; of DICOM, which takes longer, a tenth); prints
what became of them. The same seed gives the same inputs; the last one lies in pytest's temporary folder.
"""

import json
import os
import random
import resource
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import Series, write_multiframe, write_series
from mutate import damaged
from phantom import make_grid
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from model.errors import UserError
from model.images.case import read_case
from model.images.formats.names import DETACHED_HEADER, READ
from model.images.formats.nifti import affine_ras
from model.images.grid import Grid, require_usable_grid
from model.images.volume import read_volume
from model.reviews.review_file import SUFFIX as REVIEW
from model.reviews.review_file import read_review

INPUTS, SEED = int(os.environ.get("INPUTS", "200")), os.environ.get("SEED", "1")
SECONDS, MEGABYTES = 5, 400  # that one input may take, and all of them together beyond what the process has
FRESH = 0.7  # share of inputs that start from an undamaged seed; the others pile damage on damage
LONGEST = 1 << 16
GRID = Grid((7, 15, 12), (3.0, 1.25, 0.8), (-31.25, 12.5, -70.75), make_grid().direction)
SUM = "0123456789abcdef" * 4
REVIEW_CONTENT = {
    "format": "hie-lesions review",
    "format_version": 1,
    **{"case": "a", "time": "2026-03-01T12:30:00Z", "initials": "AB", "remark": "b\nc", "software": "1", "weights": SUM},
    **{"adc_sha256": SUM, "adc_voxels_sha256": SUM, "draft_sha256": SUM},
    "grid": {
        "size": [2, 3, 4],
        "spacing_mm": [3.0, 1.25, 0.8],
        "origin_mm": [-31.25, 12.5, -70.75],
        "direction": [1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8],
    },
    "size": 0,
    "lesions": [{"decision": "keep", "size": 3}, {"decision": "reject", "size": None}],
    "added": [{"voxel": [1, 2, 3], "size": -4}],
    "mask": [5, 2, 16, 1],
}


def seeds(suffix: str, folder: Path) -> list[bytes]:
    """A small oblique case's two maps as whole files of one format, as float32 and int16, compressed and not."""
    rng = np.random.default_rng(0)
    adc, zadc = np.zeros((2, *GRID.size))
    adc[1:, 4:, 3:-1] = 1200
    zadc[:] = rng.integers(-5, 5, zadc.shape)
    if suffix == REVIEW:
        return [json.dumps(content).encode() for content in (REVIEW_CONTENT, REVIEW_CONTENT | {"mask": [24]})]
    if suffix == ".dcm":
        return dicom_seeds(adc, zadc, folder)
    files = []
    for element in (np.float32, np.int16):
        for compressed in (True, False) if suffix in (".mha", ".nrrd") else (False,):
            for voxels in (adc, zadc):
                path = folder / f"seed{suffix}"
                if suffix in (".mgz", ".mgh"):  # which ITK does not write here
                    nibabel.save(nibabel.MGHImage(voxels.astype(element).T, affine_ras(GRID)), path)
                else:
                    image = sitk.GetImageFromArray(voxels.astype(element))
                    image.SetSpacing(GRID.spacing_mm[::-1])
                    image.SetOrigin(GRID.origin_mm)
                    image.SetDirection(GRID.direction)
                    sitk.WriteImage(image, str(path), useCompression=compressed)
                files.append(path.read_bytes())
    return files


def dicom_seeds(adc: np.ndarray, zadc: np.ndarray, folder: Path) -> list[bytes]:
    """The maps as files with many frames, uncompressed and not, with a unit and a slope for each; and one slice."""
    slope = {"slopes": (0.5, 0.25), "intercept": -10.0}
    (slice_,) = write_series(folder / "series", adc[3:4], GRID)
    paths = [slice_]
    for syntax in (ExplicitVRLittleEndian, RLELossless):  # JPEG is decoded in a process of its own
        for voxels, more in ((adc, {"slopes": (1e-6,), "unit": "mm2/s"}), (zadc, {"image_type": ("DERIVED",), **slope})):
            values = voxels * more["slopes"][0] if "unit" in more else voxels
            paths.insert(0, write_multiframe(folder / f"{len(paths)}.dcm", [(values, GRID)], Series(syntax=syntax, **more)))
    files = [path.read_bytes() for path in paths]
    return [files[3], files[2], *files[:2], files[4]]  # first a whole pair, ADC and Z map


def read_as(place: int, path: Path, whole: list[Path]) -> None:
    """Read the damaged file as map 0, the ADC map, or 1, the Z map, of a case, or else as a volume alone; or as a review."""
    if path.name.endswith(REVIEW):
        review = read_review(path)
        assert (review.mask.dtype, review.mask.shape) == (bool, review.grid.size)
        assert all(0 <= n < end for region in review.added for n, end in zip(region.voxel, review.mask.shape, strict=True))
        assert all(-10 <= size <= 10 for size in (review.size, *(region.size for region in review.added)))
        assert not any(ord(letter) < 32 for letter in review.case + review.initials)
        return
    case = read_case(*(path if place == n else other for n, other in enumerate(whole)))
    for volume in (case.adc, case.zadc) if place < 2 else (read_volume(path),):
        assert (volume.voxels.dtype, volume.voxels.shape) == (np.float32, volume.grid.size)
        assert np.isfinite(volume.voxels).all()
        require_usable_grid(volume.grid, path)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("suffix", [*(suffix for suffix in READ if suffix != DETACHED_HEADER), ".dcm", REVIEW])
def test_damage_is_refused_in_one_line_or_leaves_what_is_usable(tmp_path, suffix):
    rng, corpus, data, refusals, slowest = random.Random(f"{SEED} {suffix}"), seeds(suffix, tmp_path), b"", [], 0.0
    whole = [tmp_path / f"whole{n}{suffix}" for n in range(2)]
    for file, content in zip(whole, corpus, strict=False):
        file.write_bytes(content)
    path, before = tmp_path / f"damaged{suffix}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inputs = INPUTS // 10 if suffix == ".dcm" else INPUTS
    for number in range(inputs):
        data = damaged(rng.choice(corpus) if rng.random() < FRESH else data, suffix, rng)[:LONGEST]
        path.write_bytes(data)
        started = time.process_time()
        try:
            read_as(number % 3, path, whole)
        except UserError as refusal:
            refusals.append(str(refusal))
        slowest = max(slowest, time.process_time() - started)
        assert slowest < SECONDS
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    said = f"{inputs - len(refusals)} read, {len(refusals)} refused with one line, 0 anything else"
    print(f"\n{suffix}: {inputs} inputs, seed {SEED}: {said}; slowest {slowest:.2f} s, {megabytes:.0f} MiB more")
    assert inputs > len(refusals) > inputs / 2
    assert not [said for said in refusals if "\n" in said or str(tmp_path) not in said]
    assert megabytes < MEGABYTES
