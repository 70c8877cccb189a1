"""What the pages say of a Z map: the challenge's, or estimated from the ADC map."""

from model.images.checks import ESTIMATED_WARNING
from model.report import results as of_a_case

ESTIMATED = "Z map estimated from the ADC: the mask is much less reliable than with the challenge's Z map"


def is_estimated(results: dict) -> bool:
    """Whether the Z map was estimated; results that do not say it had a given one."""
    return bool(results.get("z_map") == of_a_case.ESTIMATED)


def other_warnings(results: dict) -> list[str]:
    """The warnings about the input without the one on an estimated Z map, which the pages say in another way."""
    return [warning for warning in results.get("warnings", []) if warning != ESTIMATED_WARNING]


def z_map_name(results: dict) -> str:
    """What the Z map is called where it is shown."""
    return "Z map, estimated" if is_estimated(results) else "Z map"


def lowest_z_name(results: dict) -> str:
    """The head of the column with the lowest Z of a lesion."""
    return "Lowest Z, estimated" if is_estimated(results) else "Lowest Z"
