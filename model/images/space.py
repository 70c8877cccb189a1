"""In whose space an image lies: the scanner's, another image's of the patient, or a template's, which has its own size.

A NIfTI header says so by two codes, which ITK copies to other formats, and the name of any file by BIDS' entity `space-`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

SCANNER, UNKNOWN = "scanner", "unknown"
INDIVIDUAL, TEMPLATE, NAMED = "individual: ", "template: ", "not known: "  # before the label
TEMPLATES = {3: "Talairach", 4: "MNI 152", 5: "unnamed"}  # by NIfTI's codes
CODES = ("qform_code", "sform_code")
IN_NAME = re.compile(r"(?:^|_)space-([0-9a-z+]+)(?=[_.]|$)", re.IGNORECASE)
# BIDS' labels of the patient's own spaces, in lower case: the scanner's, an image's, one turned to AC and PC
OF_PATIENT = re.compile(
    r"individual|native|orig|original|scanner|subject|acpc|anat|fsnative|func|bold(ref)?|epi|t[12]w?|t2starw?|pdw?|flair|swi"
    r"|adc|b0(ref)?|dwi(ref)?|trace|fa"
)
# of BIDS' standard templates, and dHCP's: how their labels begin
OF_TEMPLATE = re.compile(r"mni|icbm|ixi549|fsaverage|fslr|nihpd|oasis|talairach|uncinfant|wholebrain|dhcp|template")


def space_of(path: Path, in_header: str) -> str:
    """The space of a file by its name and what its header says: SCANNER, UNKNOWN, or a label behind what it is of.

    A template counts, whichever of the two says it. NAMED is for labels that BIDS does not have.
    """
    label = space_in_name(path.name)
    if not label:
        return in_header
    if OF_TEMPLATE.match(label.casefold()):
        return TEMPLATE + label
    if in_template(in_header):
        return in_header
    return (INDIVIDUAL if OF_PATIENT.fullmatch(label.casefold()) else NAMED) + label


def space_in_name(name: str) -> str:
    """The label of the space in a file's name; empty where there is none."""
    match = IN_NAME.search(name)
    return match[1] if match else ""


def space_by_codes(qform: int, sform: int) -> str:
    """By the codes of a NIfTI header's two transforms. The scanner's counts before a template's, as the transforms do."""
    labels = [TEMPLATES.get(code, "") for code in (sform, qform) if code > 0]
    if not labels:
        return UNKNOWN
    return TEMPLATE + labels[0] if all(labels) else SCANNER


def space_by_fields(fields: Mapping[str, str], *, oriented: bool) -> str:
    """By the fields of a MetaImage or NRRD header, among which NIfTI's codes may be; UNKNOWN unless `oriented`."""
    if not oriented:
        return UNKNOWN
    codes = (fields.get(name, "") for name in CODES)
    space = space_by_codes(*(int(code) if code in ("1", "2", *map(str, TEMPLATES)) else 0 for code in codes))
    return SCANNER if space == UNKNOWN else space


def in_template(space: str) -> bool:
    """Whether it is a template's, so that volumes are not the patient's."""
    return space.startswith(TEMPLATE)


def is_doubtful(space: str) -> bool:
    """Whether volumes are, or may be, another's than the patient's."""
    return space.startswith((TEMPLATE, NAMED))
