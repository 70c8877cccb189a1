"""A BIDS data set of small cases, and the public validator of the standard's makers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from folder_helpers import new_maps
from inference_helpers import GRID
from phantom import write_image

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")


def describe(root: Path, kind: str = "derivative", **fields: object) -> Path:
    """Write `dataset_description.json`; returns the folder."""
    content = {"Name": "Invented newborns", "BIDSVersion": "1.11.1", "DatasetType": kind}
    made = {"GeneratedBy": [{"Name": "test"}]} if kind == "derivative" else {}
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(content | made | fields))
    (root / "README").write_text("Invented newborns' diffusion maps, made for tests.\n" * 5)
    return root


def write_session(root: Path, case: str, *, entities: str = "", datatype: str = "dwi") -> Path:
    """Write both maps of a session, such as sub-01_ses-1, and their JSON files; returns the folder of the data type."""
    folder = root / case.replace("_", "/") / datatype
    folder.mkdir(parents=True, exist_ok=True)
    for voxels, end in zip(new_maps(), ("ADC", "desc-zscore_ADC"), strict=True):
        write_image(voxels, GRID, folder / f"{case}{entities}_{end}.nii.gz")
        (folder / f"{case}{entities}_{end}.json").write_text(json.dumps({"SkullStripped": True}))
    return folder


def errors_of(root: Path) -> list[str]:
    """What the public validator finds wrong with a data set, each as its code and its file."""
    if not VALIDATOR.is_file():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no BIDS validator at {VALIDATOR}; ./setup.sh dev installs it")
    done = subprocess.run([VALIDATOR, root, "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [f"{issue['code']} {issue.get('location', '')}" for issue in issues if issue["severity"] == "error"]
