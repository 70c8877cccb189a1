"""The losses of the study (arXiv 2502.09148), all of one signature.

A loss is a function here and its name in LOSS_NAMES, with hyphens for underscores.

Every loss takes logits (batch, 1, z, y, x), target of the same shape with 0 and 1, and spacing_mm (batch, 3) in (z, y, x)
order, and returns a scalar, float32 whatever the logits are.

Region terms come from MONAI and are taken over the batch. A batch without any lesion teaches next to nothing through them;
there the boundary term, which counts every false positive, does. Distances are in mm.
"""

from collections.abc import Callable

import torch
from monai.losses import DiceFocalLoss, DiceLoss, TverskyLoss

from training.common.loss_names import LOSS_NAMES
from training.learning.distance import squared_distance

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
REGION_WEIGHT, BOUNDARY_WEIGHT = 0.9, 0.1  # of the compound losses

_dice = DiceLoss(sigmoid=True, batch=True)
_dice_focal = DiceFocalLoss(sigmoid=True, batch=True, gamma=2.0)
_tversky = TverskyLoss(sigmoid=True, batch=True, alpha=0.3, beta=0.7)  # alpha: false positives, beta: false negatives


def dice(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """1 - Dice over the batch."""
    return _dice(logits.float(), target)


def dice_focal(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Dice plus focal loss with gamma 2 (arXiv 1708.02002)."""
    return _dice_focal(logits.float(), target)


def tversky(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Tversky loss (arXiv 1706.05721) with alpha 0.3 on false positives and beta 0.7 on false negatives."""
    return _tversky(logits.float(), target)


def hausdorffdt(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Distance-transform Hausdorff loss (arXiv 1904.10030, eq. 8) with alpha 2, in mm2.

    mean((p - g)^2 (d_p^2 + d_g^2)), where d is the distance to the boundary of p > 0.5 and of g. Equal to MONAI's
    HausdorffDTLoss at unit spacing on non-empty masks. On a crop without lesion MONAI's is zero for an empty or full
    prediction; here a missing boundary counts as EMPTY_DISTANCE_MM away, so false positives cost.
    """
    p, g = torch.sigmoid(logits.float()), target.float()
    field = squared_distance(p.squeeze(1) > 0.5, spacing_mm).add_(squared_distance(g.squeeze(1) > 0.5, spacing_mm))
    return ((p - g).square() * field.unsqueeze(1)).mean()


def dice_focal_hausdorffdt(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """0.9 Dice-Focal + 0.1 log(1 + HausdorffDT)."""
    return _compound(dice_focal, logits, target, spacing_mm)


def tversky_hausdorffdt(logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """0.9 Tversky + 0.1 log(1 + HausdorffDT)."""
    return _compound(tversky, logits, target, spacing_mm)


def _compound(region: Loss, logits: torch.Tensor, target: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """The 1 inside the logarithm is MONAI's LogHausdorffDTLoss: bounded below, gradient vanishes with the loss."""
    boundary = torch.log1p(hausdorffdt(logits, target, spacing_mm))
    return REGION_WEIGHT * region(logits, target, spacing_mm) + BOUNDARY_WEIGHT * boundary


LOSSES: dict[str, Loss] = {name: globals()[name.replace("-", "_")] for name in LOSS_NAMES}
