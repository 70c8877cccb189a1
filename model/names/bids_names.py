"""Names of files as the Brain Imaging Data Structure writes them: `sub-01_ses-1_run-2_ADC.nii.gz` (BIDS 1.11)."""

import re
from dataclasses import dataclass
from pathlib import Path

from model.images.formats.names import stem_of

LABEL = r"[0-9A-Za-z+]+"
CASE = re.compile(rf"(?P<subject>sub-{LABEL})(_(?P<session>ses-{LABEL}))?")
NAME = re.compile(rf"(?P<entities>sub-{LABEL}(_[a-z]+-{LABEL})*)_(?P<suffix>[0-9A-Za-z]+)")
SUFFIX = ".nii.gz"  # of the images that are written
DATATYPES = ("dwi", "anat")  # folders in which an ADC map lies
OF_DWI = ("sub", "ses", "acq", "rec", "dir", "run", "part", "chunk", "space", "res", "den")  # entities of images in dwi/
PREFIX = "hie"  # of the descriptions of all that is written
OURS = f"desc-{PREFIX}"
MASK, PROBABILITIES = f"{OURS}_mask", f"label-L_{OURS}_probseg"  # L is BIDS' label of lesions
DRAFT = f"{OURS}draft_mask"  # the mask before a review
ZMAP = f"{OURS}zscore_ADC"  # an estimated one


@dataclass(frozen=True)
class BidsName:
    """A file's entities, such as `{"sub": "01", "run": "2"}`, in the name's order, and its suffix."""

    entities: dict[str, str]
    suffix: str

    def belongs_to(self, other: "BidsName") -> bool:
        """Whether it is of the same image: all entities but the ones that tell derivatives apart are that one's too."""
        return all(other.entities.get(key) == value for key, value in self.entities.items() if key not in ("desc", "label"))


def bids_name(path: Path) -> BidsName | None:
    """What an image's name says; None where it is no name of BIDS."""
    match = NAME.fullmatch(stem_of(path))
    if not match:
        return None
    entities = dict(word.split("-", 1) for word in match["entities"].split("_"))
    return BidsName(entities, match["suffix"])


def case_folder(name: str) -> str:
    """`sub-01/ses-1` of the case `sub-01_ses-1`; empty for a name that is of no subject or session."""
    match = CASE.fullmatch(name)
    return "/".join(part for part in (match["subject"], match["session"]) if part) if match else ""


def derived_name(adc: Path, case: str, what: str) -> str:
    """The path, from the case's folder on, of an image that is made of an ADC map; `what` is MASK, DRAFT and so on.

    It keeps all entities of the ADC map's name, as BIDS wants of what has one source, other than a description of its own. A
    Z map has the suffix ADC, which BIDS knows in the first of the DATATYPES alone, and of the entities those of that.
    """
    datatype = adc.parent.name if adc.parent.name in DATATYPES and what != ZMAP else DATATYPES[0]
    found = bids_name(adc)
    entities = found.entities.items() if found else ()
    kept = [(key, value) for key, value in entities if key not in ("desc", "label") and (what != ZMAP or key in OF_DWI)]
    words = [f"{key}-{value}" for key, value in kept]
    source = "_".join(words)
    return f"{datatype}/{source if f'{source}_'.startswith(f'{case}_') else case}_{what}{SUFFIX}"
