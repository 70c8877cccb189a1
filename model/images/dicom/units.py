"""Units of diffusivity and the quantity ADC, as a RealWorldValueMapping of DICOM names them."""

import re

from pydicom.dataset import Dataset

from model.images.dicom.frame import functional_groups

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
MAPPINGS = "RealWorldValueMappingSequence"
# 10-6 mm2/s, 10*-6.mm2/s, 1e-3 mm2/s, um2/s, um2/ms, mm2/s, mm2/sec, mm2.s-1, after `plain`
DIFFUSIVITY = re.compile(
    r"(?:x?1(?:0|e)(?P<power>-0?\d)[.x]?)?(?P<length>m|cm|mm|um)2(?:/(?P<per>m?)s(?:ec)?|\.?(?P<to>m?)s-1)"
)
SQUARE_UM = {"m": 1e12, "cm": 1e8, "mm": 1e6, "um": 1.0}  # in a square of that length; 1 um2/s is 1e-6 mm2/s
ADC_CODES = ("113041", "113290")  # of DCM: Apparent Diffusion Coefficient, and the same with "Mono-exponential"
ADC_MEANING = re.compile(r"adc|(mono-?exponential )?apparent diffusion( coefficient)?( \(adc\))?", re.IGNORECASE)


def plain(text: str) -> str:
    """A unit in small letters of ASCII, without the signs that are written or left out at will."""
    text = text.lower().translate(str.maketrans("\u00b2\u00b5\u03bc\u00b7\u00d7", "2uu.x", " ^*{}()[]"))
    return text.replace("10e-", "1e-")


def factor_of(unit: str) -> float | None:
    """What one of a unit, as `plain` gives it, is in 1e-6 mm2/s; None for another unit than one of diffusivity."""
    match = DIFFUSIVITY.fullmatch(unit)
    if not match:
        return None
    per_ms = 1e3 if match["per"] or match["to"] else 1.0
    return SQUARE_UM[match["length"]] * per_ms * 10.0 ** int(match["power"] or 0)


def unit_of(mapping: Dataset) -> str:
    """The unit of a RealWorldValueMapping, as it is written; empty where it is none of diffusivity."""
    code = (mapping.get("MeasurementUnitsCodeSequence") or [Dataset()])[0]
    texts = (str(code.get(name, "")) for name in ("CodeValue", "LongCodeValue", "CodeMeaning"))
    return next((text for text in texts if factor_of(plain(text))), "")


def is_map_of_adc(dataset: Dataset) -> bool:
    """Whether a file is a parametric map of which each mapping is ADC by its quantity and in a unit of diffusivity."""
    if dataset.get("SOPClassUID") != PARAMETRIC_MAP:
        return False
    shared, own = functional_groups(dataset)
    mappings = [mapping for item in (dataset, *shared, *own) for mapping in item.get(MAPPINGS) or ()]
    return bool(mappings) and all(_is_adc(mapping) and unit_of(mapping) for mapping in mappings)


def _is_adc(mapping: Dataset) -> bool:
    definitions = mapping.get("QuantityDefinitionSequence") or ()
    codes = [code for definition in definitions for code in definition.get("ConceptCodeSequence") or ()]
    return any(
        (code.get("CodeValue") in ADC_CODES and code.get("CodingSchemeDesignator") == "DCM")
        or ADC_MEANING.fullmatch(str(code.get("CodeMeaning", "")).strip())
        for code in codes
    )
