"""Exact squared distances in mm2 for the boundary loss: PyPI `edt` on the CPU, plain torch elsewhere."""

import numpy as np
import torch

EMPTY_DISTANCE_MM = 10.0  # stands for the distance to a boundary that does not exist


def squared_distance(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Squared distance of each voxel to the nearest voxel of the other label.

    masks: boolean (batch, z, y, x); spacing_mm: (batch, 3) in the same order. Returns float32 mm2 of the masks' shape.
    The volume's border is no boundary. A mask that is all True or all False gets EMPTY_DISTANCE_MM squared throughout.
    """
    field = _torch_field(masks, spacing_mm) if masks.is_cuda else _edt_field(masks, spacing_mm)
    return torch.where(field.isfinite(), field, EMPTY_DISTANCE_MM**2)


def _edt_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """One multi-label transform per mask: with two labels, the other label is the nearest boundary."""
    import edt  # a machine that trains on CUDA may lack it

    fields = [
        edt.edtsq(mask.numpy().astype(np.uint8) + 1, anisotropy=tuple(spacing), black_border=False)
        for mask, spacing in zip(masks, spacing_mm.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(fields))


def _torch_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """The same on any device: a min-plus transform per axis from each label, picked by the voxel's own label."""
    spacing_mm = spacing_mm.to(masks.device, torch.float32)
    to_true = _distance_to(masks, spacing_mm)
    to_false = _distance_to(~masks, spacing_mm)
    return torch.where(masks, to_false, to_true)


def _distance_to(targets: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    field = torch.where(targets, 0.0, torch.inf)
    for axis in (1, 2, 3):
        size = targets.shape[axis]
        index = torch.arange(size, device=targets.device, dtype=torch.float32)
        steps = (index[:, None] - index) * spacing_mm[:, axis - 1].view(-1, 1, 1, 1, 1)
        lines = field.movedim(axis, -1)
        field = (lines.unsqueeze(-2) + steps.square()).amin(-1).movedim(-1, axis)
    return field
