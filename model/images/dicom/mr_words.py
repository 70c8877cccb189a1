"""The words of image types and descriptions: which say that a series is an ADC map, and which are of MR at all."""

import re

CUT = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # isoADC, AdcMap, HEADCoil
WORD = re.compile(r"[^\W\d_]+")
ADC_WORD = re.compile(  # dADC, avgADC, ADCmap, ADCs; not HeadCoil
    r"([a-df-z]|iso|avg?|ave|mean|map|trace|dwi|diff|epi)?adc(s|maps?|im(g|ages?)|iso|avg?|ave|mean|b|dwi|tra|ax|cor|sag)?"
)
APPARENT = re.compile(  # in English, German, French, Italian, Spanish and Portuguese
    r"(?<![a-z])app(arent[a-z]*)?[-_. ]*diff|diff?us\w+[-_. ]+app?arent|diffusionskoeff?izient", re.IGNORECASE
)
EXPONENTIAL = re.compile(r"(?<![a-z])e(xp\w*)?[-_ ]?adc|exponential|adc[-_ ]?exp(?!ort|er)", re.IGNORECASE)
OTHER_TYPES = re.compile(r"\b(trace\w*|b0|b_?value|fa|colfa|tensor\w*|locali[sz]er|scout|eadc|exp\w*)\b", re.IGNORECASE)

OF_MAPS = """
adc adcs adcmap isoadc apparent diffusion coefficient coefficients coeff koeffizient diffusionskoeffizient average avg
mean iso isotropic exp exponential dwi dw dti diff trace tracew tensor fa colfa map maps karte image images img calc
calculated computed derived reg registered moco corrected corr dis norm filt filtered sub mpr mip reformat reformatted
low high res hires fast std standard unspecified original primary secondary other localizer localiser scout survey loc
colour color coded z zmap score volume mixed none nd mfsplit m i r
"""
OF_SEQUENCES = """
ep epi resolve se tse fse ge gre ir flair tirm stir spair fs fatsat propeller blade mprage space cube swi t pd ss ssh ms
msh mb sms grappa sense asset arc p b bval value values scan scans dir dirs direction directions d e
"""
OF_PLACES = """
ax axial tra trans transversal transverse cor coronal sag sagittal obl oblique tilt head brain neuro cranial skull kopf
schadel hirn cerebral neonate neonatal newborn coil
"""
SMALL_WORDS = (
    "mr mri mrt irm um \u03bcm mm s x y phantom test series serie study with without and of from for mit ohne und von de"
)
MR_WORDS = frozenset(f"{OF_MAPS} {OF_SEQUENCES} {OF_PLACES} {SMALL_WORDS}".split())  # in which nobody's name can hide


def words_of(text: str) -> list[str]:
    """The runs of letters in a text, in small letters, cut where capitals begin or end a word."""
    return [word.casefold() for word in WORD.findall(CUT.sub(" ", text))]


def says_adc(text: str) -> bool:
    """Whether an image type or a description says that it is an ADC map, and not an exponential one."""
    words = {*words_of(text), *map(str.casefold, WORD.findall(text))}
    return not EXPONENTIAL.search(text) and (any(map(ADC_WORD.fullmatch, words)) or bool(APPARENT.search(text)))


def are_of_mr(text: str) -> bool:
    """Whether all words of a text are common in MR."""
    return all(word.casefold() in MR_WORDS or MR_WORDS.issuperset(words_of(word)) for word in WORD.findall(text))
