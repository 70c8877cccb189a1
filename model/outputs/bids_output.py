"""Writes the results of a folder as a BIDS derivative: what describes the data set, and a JSON beside every image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import model
from model.errors import UserError
from model.files import json_object, write_whole
from model.images.formats.names import is_dicom_path
from model.images.mark import PROGRAM
from model.inputs.bids import DERIVATIVES, DESCRIPTION, is_bids
from model.inputs.found_case import FoundCase
from model.names.bids_names import DRAFT, MASK, PROBABILITIES, ZMAP, case_folder, derived_name
from model.names.output_names import INDEX, PREVIOUS, SUMMARY
from model.names.platform_paths import CAPTURE_PATH, REPORT_PATH, RESULTS_PATH, SEGMENTATION_PATH
from model.outputs.place import Place
from model.outputs.previous import Previous
from model.report.results import REVIEW

BIDS_VERSION = "1.11.1"
SOURCE = "source"  # what BIDS URIs call the data set of the input
IGNORE = ".bidsignore"
IGNORED = (SUMMARY, INDEX, RESULTS_PATH, REPORT_PATH, SEGMENTATION_PATH, CAPTURE_PATH, f"/{PREVIOUS}")  # BIDS knows none
Sidecar = Callable[[dict], dict]


def require_outside(root: Path, output: Path) -> None:
    """Raise UserError for an output folder in the input, other than one in a BIDS data set's `derivatives/`.

    That folder is never read as input. Links are followed.
    """
    inside, derivatives = output.resolve(), root.resolve() / DERIVATIVES
    if not inside.is_relative_to(root.resolve()):
        return
    if not is_bids(root):
        raise UserError(f"{output}: expected an output folder outside the input folder {root}")
    if inside == derivatives or not inside.is_relative_to(derivatives):
        raise UserError(f"{output}: expected an output folder outside the data set {root}, or below {root / DERIVATIVES}")


def as_bids(cases: list[FoundCase]) -> list[FoundCase]:
    """The cases, each in its subject's and session's folder. Raises UserError for names that are of neither."""
    wrong = [case.name for case in cases if not case.problem and not case_folder(case.name)]
    if wrong:
        named = f"{', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}"
        raise UserError(f"--bids: expected cases that are called sub-<label> or sub-<label>_ses-<label>, found {named}")
    return [replace(case, folder=case_folder(case.name)) for case in cases]


def bids_place(case: FoundCase, root: Path, output: Path) -> Place:
    """Where the files of a case are written that can be run, and what its sidecars hold."""
    adc = case.adc_map
    mask, draft, probabilities, zmap = (derived_name(adc, case.name, what) for what in (MASK, DRAFT, PROBABILITIES, ZMAP))
    sources = [uri for uri in (source_uri(path, root) for path in case.files) if uri]
    shared = partial(_sidecar, sources=sources, reference=source_uri(adc, root) or "orig")
    return Place(
        folder=output / case.place,
        work=output,
        mask=mask,
        draft=draft,
        dicom=is_dicom_path(adc),
        probabilities=probabilities,
        zmap=zmap,
        sidecars={
            mask: partial(shared, _mask_fields, manual=True),
            draft: partial(shared, _draft_fields),
            probabilities: partial(shared, _probability_fields),
            zmap: partial(shared, _zmap_fields),
        },
    )


def source_uri(path: Path, root: Path) -> str:
    """The BIDS URI of a file of the input; empty for one that lies elsewhere."""
    relative = os.path.relpath(path, root)
    return "" if relative.startswith("..") else f"bids:{SOURCE}:{quote(Path(relative).as_posix(), safe='/+')}"


def _sidecar(fields: Sidecar, results: dict, *, sources: list[str], reference: str, manual: bool = False) -> dict:
    pipeline = {"Name": PROGRAM, "Version": model.__version__, "Weights": results["weights"]}
    of_reader = manual and REVIEW in results
    return fields(results) | {"Sources": sources, "SpatialReference": reference, "Manual": of_reader, "Pipeline": pipeline}


def _mask_fields(results: dict) -> dict:
    return {
        "Description": "Lesions of hypoxic-ischaemic encephalopathy on the grid of the ADC map: 1 in lesions, 0 elsewhere.",
        "Type": "Lesion",
        "LesionVolume": results["lesion_volume_ml"],
        "BrainVolume": results["brain_volume_ml"],
        "VolumeUnits": "mL",
        "LesionShareOfBrain": results["lesion_share_of_brain"],
        "LesionCount": results["lesions"],
        "ZMap": results["z_map"],
        "Warnings": results["warnings"],
    }


def _draft_fields(results: dict) -> dict:
    described = "Lesions as this program marked them, before a reader changed the mask: 1 in lesions, 0 elsewhere."
    return _mask_fields(results | results[REVIEW]["draft"]) | {"Description": described}


def _probability_fields(results: dict) -> dict:
    return {
        "Description": "Calibrated probability, 0 to 1, that a voxel is a lesion of hypoxic-ischaemic encephalopathy. The"
        " program's mask is the one with the highest expected Dice under it, so no fixed threshold makes it.",
    }


def _zmap_fields(results: dict) -> dict:
    return {
        "Description": "Z map estimated from the ADC map: standard deviations from healthy newborns' ADC.",
        "Units": "1",
        "SkullStripped": True,
    }


# --- the data set ---


def is_own_description(path: Path) -> bool:
    """Whether a `dataset_description.json` says that this program made the data set."""
    entries = json_object(path).get("GeneratedBy")
    given = entries if isinstance(entries, list) and not path.is_symlink() else []
    return any(isinstance(entry, dict) and entry.get("Name") == PROGRAM for entry in given)


def begin_data_set(root: Path, output: Path, weights: str, previous: Previous) -> None:
    """Write `dataset_description.json` and `.bidsignore`; root: of the input, weights: empty where no case could be run.

    Raises UserError when that is not possible.
    What someone added to the description stays. A version or weights that it does not name yet go before the others in
    `GeneratedBy`. A `.bidsignore` that is there stays.
    """
    path = output / DESCRIPTION
    entry = {"Name": PROGRAM, "Version": model.__version__} | ({"Description": f"weights {weights}"} if weights else {})
    there = json_object(path)
    if not there or (weights and entry not in there["GeneratedBy"]):
        content = (there or _description(root, output)) | {"GeneratedBy": [entry, *there.get("GeneratedBy", [])]}
        with previous.replacing(path):
            write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    if not os.path.lexists(output / IGNORE):
        write_whole(output / IGNORE, "".join(f"{name}\n" for name in IGNORED).encode())


def _description(root: Path, output: Path) -> dict:
    """Of a new data set, with what is known of the input's."""
    source = json_object(root / DESCRIPTION)
    name, doi = source.get("Name"), source.get("DatasetDOI")
    return {
        "Name": f"HIE lesions of {name}" if isinstance(name, str) else "HIE lesions",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "DatasetLinks": {SOURCE: Path(os.path.relpath(root.resolve(), output.resolve())).as_posix()},
    } | ({"SourceDatasets": [{"DOI": doi}]} if isinstance(doi, str) else {})
