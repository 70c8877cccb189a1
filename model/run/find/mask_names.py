"""Tells brain masks from masks of something else by the names of the files."""

import enum
import re
import unicodedata
from collections.abc import Set
from pathlib import Path

from model.images.formats.names import is_segmentation, stem_of
from model.run.output_names import MASK_STEM
from model.run.platform_paths import MASK_PATH

MASK = re.compile(r"\w*(masks?|maske|masque|msk)")
OF_SOMETHING = {
    *(MASK_STEM, Path(MASK_PATH).stem),  # of this program
    *("lesion", "label", "labels", "seg", "segs", "segmentation", "segmentations", "dseg", "roi", "rois", "gt", "manual"),
    *("annotation", "annotations"),
}
BRAIN_WORDS = {"brain", "bet", "hdbet", "synthstrip", "stripped", "skullstripped", "skullstrip", "extraction"}
OF_A_PART = re.compile(  # words of what lies in a brain or beside it
    r"\w*(lesion|infarct|stroke|tumou?r|penumbra|probab|ha?emorrhag|isch?a?em|hypox|edema|injur|groundtruth)\w*"
    r"|(gt|truth|hie|core|probs?|probseg|bleed|wmh|csf|ventricles?|[gw]m|gr[ae]y|white|cortex|thalam\w*|cerebell\w*"
    r"|brainstem|background|arti?e?facts?)(masks?|maps?|labels?|segs?|rois?)?"
)


class MaskKind(enum.Enum):
    """What a name says of a file."""

    BRAIN = "a brain mask"
    DOUBTFUL = "may be a brain mask"
    OTHER = "a mask of something else"
    NONE = "no mask"


def words_of(stem: str) -> list[str]:
    """The runs of letters and digits in a name, in lower case, cut where a capital follows a small letter."""
    stem = unicodedata.normalize("NFC", stem)
    whole = re.findall(r"[^\W_]+", stem)
    cuts = {i for i in range(1, len(stem)) if stem[i].isupper() and stem[i - 1].islower()}
    spaced = "".join(f" {letter}" if i in cuts else letter for i, letter in enumerate(stem))
    return [word.casefold() for word in dict.fromkeys([*re.findall(r"[^\W_]+", spaced), *whole])]


def says_mask(path: Path, of_the_case: Set[str] = frozenset()) -> bool:
    """Whether a name has a word of a mask, a label or the like; words of the case count for nothing."""
    words = set(words_of(stem_of(path))) - of_the_case
    return is_segmentation(path) or bool(words & OF_SOMETHING) or any(map(MASK.fullmatch, words))


def mask_kind(path: Path, of_the_case: Set[str] = frozenset()) -> MaskKind:
    """What a file's name says; of_the_case: words that its maps share, which say nothing.

    `brain` alone may be a stripped image, and a part that the folder is called after may be the case's name: doubtful.
    """
    words = set(words_of(stem_of(path))) - of_the_case
    mask, brain, of_something = any(map(MASK.fullmatch, words)), words & BRAIN_WORDS, words & OF_SOMETHING
    if parts := {word for word in words if OF_A_PART.fullmatch(word)}:
        if not (mask or brain or of_something or is_segmentation(path)):
            return MaskKind.NONE
        return MaskKind.DOUBTFUL if mask and parts <= set(words_of(path.parent.name)) else MaskKind.OTHER
    if mask or (brain and is_segmentation(path)):
        return MaskKind.BRAIN if brain or not of_something else MaskKind.OTHER
    if brain or is_segmentation(path):
        return MaskKind.DOUBTFUL
    return MaskKind.OTHER if of_something else MaskKind.NONE
