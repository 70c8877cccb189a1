"""The words by which the names of files and segments say of what a mask is: small letters, without signs between them."""

import re
from collections.abc import Iterable

_MASK = r"masks?|maske|masque|msk"
_LABEL = rf"({_MASK}|labels?|segs?|segmentations?|rois?|maps?)?"  # written on to another word
MASK = re.compile(rf"\w*({_MASK})")
BRAIN = re.compile(rf"(\w*brain|(hd)?bet|synthstrip|(skull)?stripped|skullstrip|extraction){_LABEL}")
OF_LESION = re.compile(
    r"\w*(lesion|infarct|stroke|tumou?r|penumbra|probab|ha?emorrhag|isch?a?em|hypox|edema|injur|groundtruth)\w*"
)
OF_A_PART = re.compile(  # in a brain or beside it; some may be a patient's name
    r"(gt|truth|hie|core|probs?|probseg|bleed|wmh|\w*csf|vents?|ventricles?|(deep)?[gw]m|(deep)?gr[ae]y|white|matter"
    r"|(sub)?cort(ex|ical)|background|bg|arti?e?facts?|thalam\w*|\w*cerebell\w*|\w*hemispher\w*|hemi|left|right|[lr]h|lobes?"
    r"|frontal|parietal|temporal|occipital|insula|basal|ganglia|putamen|pallid\w*|caudate|hippocamp\w*|amygdal\w*|callos\w*"
    r"|(brain)?stem|pons|(mid|fore|hind)brain|medulla|cord|spinal|plexus"
    r"|cisterns?|vessels?|vascular|arter(y|ies|ial)|veins?|venous|sinus(es)?|eye(ball)?s?"
    rf"|orbits?|skull|scalp|skin|(de)?fac(e|ed|ing|ial)|bones?|neck|heads?|air|noise|dura|mening\w+|cysts?){_LABEL}"
)
OF_THE_REST = re.compile(  # of all but the brain
    r"\b(not?|non|without|outside( of)?|exterior|extra)( the)? ?(brain|cerebral|cranial|axial)"
    r"|\b(inv|invers|inversed?|inverted|complement(ary)?|neg(ated|ative)?|excl(ude|usion)?|outside)(masks?)?\b"
    r"|(mask|brain)inv(erse|erted)?\b"
)


def said_of(words: Iterable[str]) -> tuple[set[str], set[str], bool]:
    """Of a name's words, in order: those of a brain, those of lesions and parts, and whether it is surely no brain's."""
    text = " ".join(words).replace("skull strip", "skullstrip")
    alone = set(text.split())
    lesions = set(filter(OF_LESION.fullmatch, alone))
    parts = lesions | set(filter(OF_A_PART.fullmatch, alone))
    return set(filter(BRAIN.fullmatch, alone - parts)), parts, bool(lesions or OF_THE_REST.search(text))
