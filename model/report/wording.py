"""What the pages say of a Z map: the challenge's, or estimated from the ADC map."""

ESTIMATED = "Z map estimated from the ADC: less sure than with the challenge's Z map"


def is_estimated(results: dict) -> bool:
    """Whether the Z map was estimated; results of runs that do not say it had a given one."""
    return bool(results.get("z_map", "given") == "estimated")


def z_map_name(results: dict) -> str:
    """What the Z map is called where it is shown."""
    return "Z map, estimated" if is_estimated(results) else "Z map"


def lowest_z_name(results: dict) -> str:
    """The head of the column with the lowest Z of a lesion."""
    return "Lowest Z, estimated" if is_estimated(results) else "Lowest Z"
