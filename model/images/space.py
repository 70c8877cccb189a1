"""In whose space an image lies: the scanner's, another image's of the patient, or a template's, which has its own size.

A NIfTI header says so by a code (model/images/formats/nifti.py), the name of any file by BIDS' entity `space-`.
"""

import re
from pathlib import Path

SCANNER, UNKNOWN = "scanner", "unknown"
INDIVIDUAL, TEMPLATE = "individual: ", "template: "  # before the label
IN_NAME = re.compile(r"(?:^|_)space-([0-9a-z+]+)(?=[_.]|$)", re.IGNORECASE)
# BIDS' labels of the patient's own spaces, in lower case: the scanner's, an image's, one turned to AC and PC
OF_PATIENT = re.compile(
    r"individual|native|orig|original|scanner|subject|acpc|anat|fsnative|func|bold(ref)?|epi|t[12]w?|t2starw?|pdw?|flair|swi"
    r"|adc|b0(ref)?|dwi(ref)?|trace|fa"
)


def space_of(path: Path, in_header: str) -> str:
    """The space of a file by its name and what its header says: SCANNER, UNKNOWN, or INDIVIDUAL or TEMPLATE with the label.

    A template counts, whichever of the two says it, by the name's label if there is one.
    """
    match = IN_NAME.search(path.name)
    if not match:
        return in_header
    if not OF_PATIENT.fullmatch(match[1].casefold()):
        return TEMPLATE + match[1]
    return in_header if in_template(in_header) else INDIVIDUAL + match[1]


def in_template(space: str) -> bool:
    """Whether it is a template's, so that volumes are not the patient's."""
    return space.startswith(TEMPLATE)
