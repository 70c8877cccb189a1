"""One mask of a folder against its label, by the challenge's scores, on the label's own grid.

They equal those of `evaluation.evaluate`; unlike there, a mask must lie on the label's grid and not only have its shape.
"""

from pathlib import Path

from model.errors import UserError
from model.images.brain import brain_mask
from model.images.volume import Volume, read_volume, require_same_grid
from training.data.published import require_mask
from training.scores.metrics import mask_facts
from training.scores.pairs import Pair
from training.scores.rows import CaseScore


def score_pair(pair: Pair, masks: Path, labels: Path) -> CaseScore:
    """Everything that is said about one case.

    Raises UserError when a file cannot be used, is not on the label's grid, or a mask holds other values than 0 and 1.
    """
    label, mask = read_volume(pair.label), read_volume(pair.mask)
    for volume in (label, mask):
        require_mask(volume)
    require_same_grid(label, mask)
    truth = label.voxels > 0
    return CaseScore(
        case=pair.case,
        **mask_facts(mask.voxels > 0, truth, label.grid.spacing_mm),
        lesion_load=float(truth.sum()) / brain_voxels(pair.adc, label) if pair.adc else float("nan"),
        mask=pair.mask.relative_to(masks).as_posix(),
        label=pair.label.relative_to(labels).as_posix(),
    )


def brain_voxels(path: Path, label: Volume) -> int:
    """How many voxels of an ADC map are brain. Raises UserError for a map without any, or not on the label's grid."""
    adc = read_volume(path)
    require_same_grid(label, adc)
    count = int(brain_mask(adc.voxels).sum())
    if not count:
        raise UserError(f"{path}: no brain, expected voxels with ADC above 0")
    return count
