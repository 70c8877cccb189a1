"""Tells an ADC map from a Z map by the names of the files.

A Z map's name often has "ADC" in it, and a patient's name may end in z. So the words of a name count, and where they do not
decide, what differs between two names: what they share is the case's name and says nothing.
"""

import itertools
import re
import unicodedata
from pathlib import Path

from model.images.dicom.mr_words import APPARENT, EXPONENTIAL
from model.images.formats.names import stem_of
from model.images.mask_words import BRAIN, MASK
from model.inputs.mask_names import MaskKind, mask_kind, says_mask, words_of

Z_WORD = re.compile(
    r"z(maps?|scores?|scoremap|adc|adcmap|mapadc|scoreadc|images?|img|vol|volume|stats?|values?|norm)?|adcz(map|score)?"
)
Z_INSIDE = re.compile(r"z[-_ .]?(score|map|adc)|adc[-_ .]?z|\bz\d+\b")  # where no word of a name says it
ADC_INSIDE = re.compile(rf"adc(?!oil|ast)|{APPARENT.pattern}")  # not of headcoil or broadcast
ESTIMATED = re.compile(r"(z(maps?|scores?|adc)?)?estimat(ed?|ion)(z(maps?|scores?|adc)?)?|hiez(maps?|scores?|adc)?")
ADC_HINT, Z_HINT = "'adc'", "'zmap', 'zadc' or 'zscore'"  # what a name should have
MAP_WORDS = re.compile(
    rf"{Z_WORD.pattern}|adc|adcmap|ss|maps?|scores?|smooth(ed)?|smooth2mm|clip(ped)?|clipped10|{MASK.pattern}|{BRAIN.pattern}"
)


def tell_apart(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files that could be the ADC map, and those that could be the Z map; one of each where the names decide.

    Estimated Z maps are neither, nor are exponential ADC maps.
    """
    neither = [*estimated_z_maps(paths), *(path for path in paths if any(map(EXPONENTIAL.search, _words(path))))]
    paths = _without_masks([path for path in paths if path not in neither])
    by_name = _by_words(paths)
    if not by_name[1] and (all(parts := _by_parts(paths)) or not by_name[0]):  # the z of `Perez_ADC` makes no Z map
        by_name = parts
    clear = [pair for pair in (by_name, *_by_differences(paths)) if len(pair[0]) == len(pair[1]) == 1]
    return clear[0] if clear else by_name


def brain_masks(paths: list[Path]) -> list[Path]:
    """The files that could be the brain mask of a case: those left out by `tell_apart` whose names say mask and no more.

    `adc_brain_mask` is one, `adc_lesion_mask` is none.
    """
    maps, shared = _without_masks(paths), shared_words(paths)
    return [path for path in paths if path not in maps and mask_kind(path, shared) is MaskKind.BRAIN]


def is_brain_mask(path: Path) -> bool:
    """Whether a file's name says that it is a mask, and of nothing that lies in the brain."""
    return mask_kind(path) is MaskKind.BRAIN


def estimated_z_maps(paths: list[Path]) -> list[Path]:
    """The files whose names say that they are Z maps and were estimated; a word that all ADC maps have says nothing."""
    of_adc = [_words(path) for path in paths if _has_adc(path.name) and not is_z_map(path)]
    of_the_case = set.intersection(*of_adc) if of_adc else set()
    return [path for path in paths if is_z_map(path) and any(map(ESTIMATED.fullmatch, _words(path) - of_the_case))]


def is_z_map(path: Path) -> bool:
    """Whether a file's name says that it is a Z map, whatever its format."""
    return _is_z(stem_of(path))


def case_words(name: str) -> tuple[str, ...]:
    """What is left of a file's stem without the words for its map: the same for all files of a case."""
    words = re.findall(r"[^\W_]+", _plain(name))
    return tuple(word for word in words if not MAP_WORDS.fullmatch(word))


def shared_words(paths: list[Path]) -> set[str]:
    """The words that the names of all maps among the files share: they are the case's."""
    maps = [_words(path) for path in paths if _has_adc(path.name) or is_z_map(path)]
    return set.intersection(*maps) if maps else set()


def _words(path: Path) -> set[str]:
    return set(words_of(stem_of(path)))


def _without_masks(paths: list[Path]) -> list[Path]:
    """Without the files that are masks by their names."""
    shared = shared_words(paths)
    return [path for path in paths if not says_mask(path, shared)] or paths


def _by_words(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    zadc = [path for path in paths if has_z_word(stem_of(path))]
    return [path for path in paths if path not in zadc and _has_adc(path.name)], zadc


def _by_parts(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """As above where no word says Z: `perezzmap`."""
    zadc = [path for path in paths if Z_INSIDE.search(_plain(stem_of(path)))]
    return [path for path in paths if path not in zadc and _has_adc(path.name)], zadc


def _by_differences(paths: list[Path]) -> list[tuple[list[Path], list[Path]]]:
    """The one pair of files whose names differ in the words or letters for ADC and Z map; empty where there are more."""
    for differing in (_differing_words, _differing_letters):
        pairs = {pair for pair in itertools.permutations(paths, 2) if _is_pair(*pair, *differing(*map(stem_of, pair)))}
        if len(pairs) == 1:
            adc, zadc = pairs.pop()
            return [([adc], [zadc])]
    return []


def _is_pair(adc: Path, zadc: Path, adc_part: str, zadc_part: str) -> bool:
    """Whether the differing parts of two names say that the first is the ADC map of the second, a Z map."""
    says_adc = _has_adc(adc_part) or (not adc_part and _has_adc(adc.name))
    says_z = _is_z(zadc_part) or (_has_adc(adc_part) and not _has_adc(zadc_part) and _is_z(stem_of(zadc)))
    return says_adc and not _is_z(adc_part) and says_z


def _differing_words(first: str, second: str) -> tuple[str, str]:
    one, other = (re.findall(r"[^\W_]+", _plain(stem)) for stem in (first, second))
    shared = [word for word in one if word in other]
    for word in shared:
        if word in other:
            one.remove(word)
            other.remove(word)
    return " ".join(one), " ".join(other)


def _differing_letters(first: str, second: str) -> tuple[str, str]:
    one, other = _plain(first), _plain(second)
    start = _shared_length(one, other)
    one, other = one[start:], other[start:]
    end = _shared_length(one[::-1], other[::-1])
    return one[: len(one) - end], other[: len(other) - end]


def _shared_length(one: str, other: str) -> int:
    """How many letters two texts share at their beginning."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def has_z_word(text: str) -> bool:
    """Whether a word of a text is one for Z maps."""
    return any(Z_WORD.fullmatch(word) for word in words_of(text))


def _is_z(text: str) -> bool:
    return has_z_word(text) or bool(Z_INSIDE.search(_plain(text)))


def _has_adc(text: str) -> bool:
    return bool(ADC_INSIDE.search(_plain(text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
