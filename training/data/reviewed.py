"""Cases that a reader has reviewed, in a folder of results: their scans with the reviewed masks as labels.

The `results.json` of such a case has the key `review`, and its mask is the reviewed one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import UserError, listed
from model.images.formats.names import WRITTEN, stem_of, suffix_of
from model.inputs.cases import find_cases
from model.inputs.found_case import FoundCase
from model.names.bids_names import MASK, case_folder
from model.names.output_names import MASK_STEM
from model.names.platform_paths import RESULTS_PATH
from model.outputs.earlier import places_of_cases
from model.outputs.place import Options
from model.outputs.record import FILES, is_current, read_own_results
from model.report.results import ESTIMATED, VOXELS, voxel_digest
from model.run.one_case import read_found
from training.data.published import canonical_arrays, read_label

INPUTS = {"adc": "ADC map", "zadc": "Z map", "brain_mask": "brain mask"}  # of results.json


@dataclass(frozen=True)
class ReviewedCase:
    """A case's scan, and the folder of its results with what they say."""

    scan: FoundCase
    folder: Path
    results: dict

    @property
    def name(self) -> str:
        """As the scan is called."""
        return self.scan.name


def reviewed_cases(lesions: Path, scans: Path) -> tuple[list[ReviewedCase], str]:
    """The reviewed cases of a folder of results that process.py wrote from `scans`, and which others were passed over.

    Raises UserError when there is none, a results.json is not as it was written, or a reviewed case has no scan.
    """
    for folder in (lesions, scans):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, or not open to this user")
    folders = [lesions / place for place in places_of_cases(lesions) if (lesions / place / RESULTS_PATH).exists()]
    found = {folder: read_own_results(folder / RESULTS_PATH) for folder in folders}
    if changed := [folder for folder, results in found.items() if results is None]:
        raise UserError(f"{changed[0] / RESULTS_PATH}: not as process.py wrote it, so it does not say what was reviewed")
    by_place: dict[Path, FoundCase] = {}
    for scan in find_cases(scans, estimate_z=True):
        by_place |= {lesions / scan.place: scan, lesions / (case_folder(scan.name) or scan.place): scan}
    reviewed = {folder: results for folder, results in found.items() if results and isinstance(results.get("review"), dict)}
    whole = {folder: results for folder, results in reviewed.items() if not results["review"].get("undecided")}
    usable = {folder: results for folder, results in whole.items() if results.get("z_map") != ESTIMATED}
    if missing := listed(str(folder.relative_to(lesions)) for folder in usable.keys() - by_place.keys()):
        raise UserError(f"{scans}: no scan of {missing}, which {lesions} has a review of")
    passed = f"{len(found) - len(reviewed)} without a review, {len(reviewed) - len(whole)} with undecided lesions,"
    passed += f" {len(whole) - len(usable)} with an estimated Z map"
    if not usable:
        raise UserError(f"{lesions}: expected reviewed cases with a Z map of their own, found none: {passed}")
    cases = [ReviewedCase(by_place[folder], folder, results) for folder, results in usable.items()]
    return cases, f"{len(cases)} reviewed cases of {lesions}; passed over: {passed}"


def reviewed_arrays(case: ReviewedCase) -> dict[str, Any]:
    """The arrays of a packed case, as `canonical_arrays` gives them.

    Raises UserError when the mask was changed after the review, or the scan is not the one that was segmented.
    """
    masks = [name for name in case.results[FILES] if _is_mask(Path(name))]
    if len(masks) != 1:
        raise UserError(f"{case.folder}: expected one mask in {RESULTS_PATH}, found {len(masks)}")
    mask = case.folder / masks[0]
    if not is_current(case.folder, masks[0], case.results):
        raise UserError(f"{mask}: missing, or changed after the review; take the review back into the folder again")
    inputs = case.results["inputs"]
    series = case.results.get("series", {}).get("uid")
    options = Options(
        adc_unit=case.results["adc_unit"],
        series=(series,) if series else (),
        brain_mask="brain_mask" in inputs,
        smallest_brain_ml=0.0,  # the run has asked for enough
    )
    scan = read_found(case.scan.for_options(estimate_z=False, use_mask=options.brain_mask), options)
    volumes = {"adc": scan.adc, "zadc": scan.zadc, "brain_mask": scan.brain_mask}
    for what, words in INPUTS.items():
        volume = volumes[what]
        if (volume.sha256 if volume else None) != inputs.get(what, {}).get("sha256"):
            where = volume.path if volume else scan.adc.path.parent
            raise UserError(f"{where}: its {words} is not the one that {case.folder} was made from")
    if voxel_digest(scan) != inputs["adc"].get(VOXELS):
        raise UserError(f"{scan.adc.path}: read as another ADC map than {case.folder} was made from")
    return canonical_arrays(scan, read_label(mask, scan.adc))


def _is_mask(path: Path) -> bool:
    """Whether a file of a folder's case is its mask, by its name: neither a draft nor a DICOM object."""
    stem = stem_of(path)
    return suffix_of(path) in WRITTEN and (stem == MASK_STEM or stem.endswith(f"_{MASK}"))
