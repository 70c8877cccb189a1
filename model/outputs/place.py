"""What is wanted of a case, and where its files are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model.images.case import ADC_UNIT
from model.images.formats.names import stem_of
from model.images.limits import SMALLEST_BRAIN_ML
from model.names.platform_paths import CAPTURE_PATH, REPORT_PATH, RESULTS_PATH, SEGMENTATION_PATH


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is wanted beside the mask and `results.json`, and how the ADC map is meant."""

    probabilities: bool = False
    report: bool = False
    adc_unit: str = ADC_UNIT
    series: tuple[str, ...] = ()  # UIDs of DICOM series, to be taken where they are found
    estimate_z: bool = False  # estimate the Z map of a case without one
    brain_mask: bool = False  # apply the one beside the ADC map
    smallest_brain_ml: float = SMALLEST_BRAIN_ML  # that it has to leave
    empty_below: float = 0.0  # the chance of a lesion below which a mask is left empty


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a case's files are written: paths in `folder`. `work` is a folder beside or above, for what is not whole yet.

    sidecars: what makes the JSON beside an image, by the image's path, of the results.
    """

    folder: Path
    work: Path
    mask: str
    probabilities: str
    zmap: str
    draft: str = ""  # the mask before a review
    dicom: bool = False  # whether the ADC map comes as DICOM, so that the mask is written as such too
    sidecars: Mapping[str, Callable[[dict], dict]] = field(default_factory=dict)

    def in_order(self, files: Iterable[str]) -> list[str]:
        """The results and these files as they get their places, the mask last: where it is there, everything is."""
        return [RESULTS_PATH, *(name for name in files if name != self.mask), self.mask]

    def written(self, options: Options, *, estimated: bool, reviewed: bool = False) -> list[str]:
        """The files that a run with these options writes of a case whose Z map is estimated, or given; reviewed, or not."""
        extras = (
            (self.draft, reviewed),
            (self.probabilities, options.probabilities),
            (self.zmap, options.probabilities and estimated),
            (REPORT_PATH, options.report),
        )
        names = [self.mask, *(name for name, wanted in extras if wanted)]
        objects = [SEGMENTATION_PATH, CAPTURE_PATH] if self.dicom else []
        return [RESULTS_PATH, *names, *objects, *(sidecar_of(name) for name in names if name in self.sidecars)]


def sidecar_of(image: str) -> str:
    """The path of the JSON beside an image."""
    return str(Path(image).with_name(f"{stem_of(Path(image))}.json"))
