"""The classes that cases are dealt and reported by: lesion load and slice thickness."""

from bisect import bisect_left

LOAD_EDGES = (0.0, 0.01, 0.05)  # share of the brain: empty, below 1 %, 1-5 %, above 5 %
LOADS = ("empty", "below 1 %", "1-5 %", "above 5 %")
THICK_SLICE_MM = 3.0
SLICES = (f"slices <= {THICK_SLICE_MM:g} mm", f"slices > {THICK_SLICE_MM:g} mm")


def load_class(lesion_load: float, has_lesion: bool) -> int:
    """Which of LOADS a case belongs to, by the share of its brain that is lesion; an edge belongs to the class below it."""
    return bisect_left(LOAD_EDGES, lesion_load) if has_lesion else 0


def is_thick(slice_mm: float) -> bool:
    """Whether a case belongs to the second of SLICES."""
    return slice_mm > THICK_SLICE_MM
