"""The Python interface: maps in, lesions out, on arrays or files.

Example:

    from model import Segmenter

    found = Segmenter().segment_files("scans/baby1/adc.nii.gz", "scans/baby1/zmap.nii.gz")
    print(found.lesions, found.warnings)
    found.save("lesions.nii.gz")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.errors import UserError
from model.images.case import ADC_UNIT, Case, case_of, read_case
from model.images.grid import Grid, Volume, require_scalar_3d, require_usable_grid
from model.images.limits import SMALLEST_BRAIN_ML
from model.images.volume import write_mask
from model.networks.canonical_orientation import estimate_canonical, segment_canonical
from model.report.results import CHANCE, describe, describe_files, describe_run

if TYPE_CHECKING:
    from model.networks.predict import Predictor
    from model.networks.predict import Segmentation as Answer
    from model.networks.predictors import Predictors
    from model.networks.stored import Engine

DEVICES, ENGINES = ("auto", "cpu", "cuda"), ("auto", "torch", "openvino")
NETWORKS = (0, 1, 5)  # how many may be asked for; docs/accuracy.md has the scores of 0 and 1, benchmarks/README.md the costs
IDENTITY_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FilePath = str | Path


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one case; arrays are (z, y, x) on the ADC map's grid."""

    case: Case  # its maps, the Z map estimated where none was given
    answer: Answer
    results: dict  # the numbers of `results.json`

    @property
    def mask(self) -> np.ndarray:
        """Boolean: where there is lesion."""
        return self.answer.mask

    @property
    def probabilities(self) -> np.ndarray:
        """Float32 in 0..1: the calibrated probability of lesion, 0 outside the brain."""
        return self.answer.probabilities

    @property
    def zmap(self) -> np.ndarray:
        """Float32, in standard deviations: the Z map that was used, given or estimated."""
        return self.case.zadc.voxels

    @property
    def lesions(self) -> list[dict]:
        """An entry for each lesion, the largest first, as `lesion_list` in `results.json`."""
        return self.results["lesion_list"]

    @property
    def warnings(self) -> list[str]:
        """What is unusual about the input, as sentences."""
        return self.results["warnings"]

    def save(self, path: FilePath) -> None:
        """Write the mask, uint8 with 1 in lesions, in the format that the name's end says. A file that is there is replaced.

        Raises UserError when the file cannot be written, its format cannot hold the grid, or it is one that was read.
        """
        if Path(path).resolve() in {volume.path.resolve() for volume in self.case.volumes}:
            raise UserError(f"{path}: is one of the case's own files, name another")
        write_mask(self.mask, self.case.grid, Path(path))


class Segmenter:
    """Finds HIE lesions. Networks and trees are loaded when the first case needs them, then kept.

    Args:
        weights: folder of weights; by default /opt/ml/model where anything lies there, else the built-in ones.
        device: "auto" (CUDA where it can be used), "cpu" or "cuda".
        engine: "auto", "torch" or "openvino".
        atlas: two images, the mean ADC of normal newborns and its standard deviation, in 1e-6 mm2/s and 0 outside the
            brain, in place of the built-in atlas where a Z map is estimated.
        networks: how many are run beside the trees: 0, 1 or 5; by default all that the weights have.
        at_once: how many cases will be segmented at the same time, each in a thread.
        say: gets a line for everything that is loaded or done without.
    """

    def __init__(
        self,
        weights: FilePath | None = None,
        device: str = "auto",
        engine: str = "auto",
        *,
        atlas: tuple[FilePath, FilePath] | None = None,
        networks: int | None = None,
        at_once: int = 1,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        for name, value, choices in (("device", device, DEVICES), ("engine", engine, ENGINES)):
            if value not in choices:
                raise UserError(f"{name} {value!r}: expected one of {', '.join(choices)}")
        if networks not in (None, *NETWORKS):
            raise UserError(f"networks {networks!r}: expected one of {', '.join(map(str, NETWORKS))}")
        if networks == 0 and (engine != "auto" or device == "cuda"):
            raise UserError(
                "--networks 0: the trees alone run without an engine or CUDA, expected no --engine or --device cuda"
            )
        self._weights = Path(weights) if weights is not None else None
        self._atlas = (Path(atlas[0]), Path(atlas[1])) if atlas else None
        for path in self._atlas or ():  # which may be read late, or never
            if not path.exists():
                raise UserError(f"--atlas: {path}: no such file")
        self._device, self._engine, self._say = device, engine, say
        self._networks, self.at_once = networks, at_once

    @functools.cached_property
    def predictors(self) -> Predictors:
        """What segments cases with a Z map, and those without. Imports the engine only now: a bad case is refused before.

        Raises UserError when a device, an engine or the weights cannot be used.
        """
        from model.networks.engines import pick_engine
        from model.networks.predictors import Predictors
        from model.networks.stored import default_folder, network_files

        folder = self._weights or default_folder()

        @functools.cache
        def engine() -> Engine:
            picked, notes = pick_engine(self._engine, self._device, folder, self.at_once)
            for note in notes:
                self._say(note)
            return picked

        if self._engine != "auto" or self._device == "cuda":
            if not network_files(folder):
                raise UserError(f"{folder}: no networks, which --engine and --device cuda are for")
            engine()  # refused also where no case of the run needs it
        return Predictors(folder, engine, self._say, self._atlas, self._networks)

    def segment(
        self,
        adc: np.ndarray,
        zmap: np.ndarray | None = None,
        *,
        spacing_mm: Sequence[float],
        direction: Sequence[float] | None = None,
        brain_mask: np.ndarray | None = None,
        estimate_z: bool = False,
        adc_unit: str = ADC_UNIT,
        smallest_brain_ml: float = SMALLEST_BRAIN_ML,
    ) -> Segmentation:
        """Segment one case that is in memory.

        Args:
            adc: (z, y, x), ADC in `adc_unit`, 0 outside the brain.
            zmap: (z, y, x), in standard deviations, as the challenge makes it; None with `estimate_z`.
            spacing_mm: (z, y, x).
            direction: nine cosines, row by row, as SimpleITK's `GetDirection` gives them. By default the array's axes are
                taken to run from the patient's right to left, front to back and bottom to top, and sides are not told.
            brain_mask: (z, y, x), 1 in the brain and 0 elsewhere, for maps that are not skull-stripped.
            estimate_z: estimate a Z map that is not given from the ADC map; the mask is then much less reliable.
            adc_unit: one of `model.images.case.ADC_UNITS`.
            smallest_brain_ml: that the brain mask has to leave.

        Returns:
            The Segmentation; its arrays have the shape of `adc`.

        Raises:
            UserError: for arrays that are no case, with the reason in one line.

        Example:
            >>> import numpy as np
            >>> from model import Segmenter
            >>> adc = np.zeros((4, 24, 24), np.float32)
            >>> adc[:, 4:20, 4:20] = np.random.default_rng(0).normal(1100, 150, (4, 16, 16))
            >>> zmap = np.where(adc > 0, (adc - 1100) / 250, 0)
            >>> Segmenter().segment(adc, zmap, spacing_mm=(4, 4, 4)).mask.shape
            (4, 24, 24)
        """
        _require_z(zmap, estimate_z=estimate_z)
        arrays = {"adc": adc, "zmap": zmap, "brain_mask": brain_mask}
        given: dict[str, object] = {name: array for name, array in arrays.items() if array is not None or name == "adc"}
        volumes = _volumes(given, spacing_mm, direction)
        maps = (volumes["adc"], volumes.get("zmap"), volumes.get("brain_mask"))
        return self.segment_case(case_of(*maps, adc_unit, smallest_brain_ml))

    def segment_files(
        self,
        adc: FilePath,
        zmap: FilePath | None = None,
        *,
        brain_mask: FilePath | None = None,
        estimate_z: bool = False,
        adc_unit: str = ADC_UNIT,
        series: Sequence[str] = (),
        smallest_brain_ml: float = SMALLEST_BRAIN_ML,
    ) -> Segmentation:
        """Segment one case from its files.

        Args:
            adc: a file of any format that is read, or a folder with a DICOM study.
            zmap: likewise; None with `estimate_z`.
            brain_mask: likewise, for maps that are not skull-stripped.
            estimate_z: estimate a Z map that is not given from the ADC map; the mask is then much less reliable.
            adc_unit: one of `model.images.case.ADC_UNITS`.
            series: UIDs of the DICOM series to take, where a study has more than one.
            smallest_brain_ml: that the brain mask has to leave.

        Returns:
            The Segmentation, on the ADC map's grid.

        Raises:
            UserError: for files that are no case, with the reason in one line.
        """
        _require_z(zmap, estimate_z=estimate_z)
        z_path, mask_path = (Path(path) if path is not None else None for path in (zmap, brain_mask))
        return self.segment_case(read_case(Path(adc), z_path, adc_unit, series, mask_path, smallest_brain_ml))

    def segment_case(self, case: Case, empty_below: float = 0.0) -> Segmentation:
        """Segment a case that was read and checked.

        empty_below: the chance of a lesion in 0..1 below which the mask is left empty. Raises UserError when the weights
        cannot be used, or do not say that chance and it is asked for.
        """
        predictor: Predictor
        if case.z_map is None:
            case, predictor = estimate_canonical(case, self.predictors.estimating)
        else:
            predictor = self.predictors.of(estimated=case.estimated)
        answer = segment_canonical(case, predictor)
        numbers = describe(answer, case)
        if empty_below and numbers[CHANCE] is None:
            estimated = " where the Z map is estimated" if case.estimated else ""
            raise UserError(f"--empty-below: weights {predictor.ensemble.id} do not say the chance of a lesion{estimated}")
        if empty_below and numbers[CHANCE] < empty_below:
            answer = replace(answer, mask=np.zeros_like(answer.mask))
            numbers = describe(answer, case) | {CHANCE: numbers[CHANCE]}
        results = numbers | {"empty_below": empty_below} | describe_files(case) | describe_run(predictor)
        return Segmentation(case, answer, results)


def _require_z(zmap: object, *, estimate_z: bool) -> None:
    if zmap is None and not estimate_z:
        raise UserError("zmap: expected a Z map, found None; estimate_z=True estimates one from the ADC map")


def _volumes(arrays: dict[str, object], spacing_mm: Sequence[float], direction: Sequence[float] | None) -> dict[str, Volume]:
    """Arrays by their name as volumes with an origin of 0. Raises UserError."""
    spacing, axes = (_numbers(values) for values in (spacing_mm, IDENTITY_DIRECTION if direction is None else direction))
    if len(spacing) != 3 or len(axes) != 9:
        found = f"found {len(spacing)} and {len(axes)} numbers"
        raise UserError(f"expected spacing_mm (z, y, x) and a direction of nine cosines, {found}")
    z, y, x = spacing
    volumes = {}
    for name, array in arrays.items():
        if isinstance(array, np.ma.MaskedArray):
            raise UserError(f"{name}: expected a plain array, found a masked one; fill it with 0 outside the brain")
        try:
            voxels = np.asarray(array, np.float32)
        except (TypeError, ValueError):
            raise UserError(f"{name}: expected an array of numbers, found {type(array).__name__}") from None
        require_scalar_3d(voxels.shape[::-1], 1, Path(name))
        grid = Grid(voxels.shape, (z, y, x), (0.0, 0.0, 0.0), axes)
        require_usable_grid(grid, Path(name))
        volumes[name] = Volume(voxels, grid, Path(name), oriented=direction is not None)
    return volumes


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    """As many as there are, whatever their shape; none for what is no numbers."""
    try:
        return tuple(np.asarray(values, float).ravel().tolist())
    except (TypeError, ValueError):
        return ()
