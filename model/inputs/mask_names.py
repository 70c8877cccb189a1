"""Tells brain masks from masks of something else by the names of the files."""

import enum
import re
import unicodedata
from collections.abc import Set
from pathlib import Path

from model.images.formats.names import is_segmentation, stem_of
from model.images.mask_words import MASK, said_of
from model.names.output_names import MASK_STEM
from model.names.platform_paths import MASK_PATH

OF_SOMETHING = {
    *(MASK_STEM, Path(MASK_PATH).stem),  # of this program
    *("lesion", "label", "labels", "seg", "segs", "segmentation", "segmentations", "dseg", "roi", "rois", "gt", "manual"),
    *("annotation", "annotations"),
}


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

    `brain` alone may be a stripped image, and a word of a part beside `brain`, or one that the folder is called after, may
    be the case's name: doubtful.
    """
    words = [word for word in words_of(stem_of(path)) if word not in of_the_case]
    mask, of_something = any(map(MASK.fullmatch, words)), not OF_SOMETHING.isdisjoint(words)
    brain, parts, is_other = said_of(words)
    if parts or is_other:
        if not (mask or brain or of_something or is_segmentation(path)):
            return MaskKind.NONE
        named_so = parts and parts <= set(words_of(path.parent.name))
        return MaskKind.DOUBTFUL if mask and (named_so or (brain and not is_other)) else MaskKind.OTHER
    if mask or (brain and is_segmentation(path)):
        return MaskKind.BRAIN if brain or not of_something else MaskKind.OTHER
    if brain or is_segmentation(path):
        return MaskKind.DOUBTFUL
    return MaskKind.OTHER if of_something else MaskKind.NONE
