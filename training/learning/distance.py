"""Exact squared distances in mm2 for the boundary loss: PyPI `edt` on the CPU, one min-plus pass per axis on a GPU."""

import functools
import warnings

import numpy as np
import torch

try:
    import triton
    from triton import language as tl
except ImportError:  # PyTorch for CUDA brings it, PyTorch for the CPU does not
    triton = None

EMPTY_DISTANCE_MM = 10.0  # stands for the distance to a boundary that does not exist


def squared_distance(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """Squared distance of each voxel to the nearest voxel of the other label.

    masks: boolean (batch, z, y, x); spacing_mm: (batch, 3) in the same order. Returns float32 mm2 of the masks' shape, on
    their device. The volume's border is no boundary. A mask that is all True or all False gets EMPTY_DISTANCE_MM squared.
    """
    if masks.is_cuda and _kernel_runs(masks.device):
        field = _min_plus_field(masks, spacing_mm)
    else:
        field = _edt_field(masks.cpu(), spacing_mm).to(masks.device)
    return field.nan_to_num_(posinf=EMPTY_DISTANCE_MM**2)


def _edt_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """One multi-label transform per mask: with two labels, the other label is the nearest boundary."""
    import edt  # a machine that trains on CUDA may lack it

    transform = functools.partial(edt.edtsq, black_border=False, parallel=torch.get_num_threads())
    fields = [
        transform(mask.numpy().astype(np.uint8) + 1, anisotropy=tuple(spacing))
        for mask, spacing in zip(masks, spacing_mm.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(fields))


def _min_plus_field(masks: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """The same by the kernel, axis by axis (doi 10.4086/toc.2012.v008a019, all pairs of a line instead of an envelope).

    Both labels go through one pass: after some axes, a voxel's field is the squared distance within the slab they span.
    Seen from i along the next axis, the slab of j is nearest at j itself if j has the other label, else at field[j] from j.
    """
    spacing_mm = spacing_mm.to(masks.device, torch.float32, non_blocking=True)  # the host need not wait for the device
    field = torch.full(masks.shape, torch.inf, device=masks.device)
    for axis in (1, 2, 3):
        lines, labels = (tensor.movedim(axis, -1).contiguous() for tensor in (field, masks))
        field = _triton_pass(lines, labels, spacing_mm[:, axis - 1].contiguous()).movedim(-1, axis)
    return field


def _triton_pass(field: torch.Tensor, labels: torch.Tensor, spacing_mm: torch.Tensor) -> torch.Tensor:
    """out[i] = min over j of ((i - j) spacing)^2 + (field[j] where labels[j] == labels[i], else 0).

    field float32 and labels boolean (batch, ., ., line), spacing_mm (batch,) along the line; contiguous, on one CUDA device.
    One kernel, which keeps the pairs in registers.
    """
    size = field.shape[-1]
    lines, rows = field.numel() // size, 32
    out = torch.empty_like(field)
    _min_plus_kernel[(lines, triton.cdiv(size, rows))](
        field,
        labels.view(torch.uint8),
        spacing_mm,
        out,
        size,
        lines // len(field),
        rows,
        max(triton.next_power_of_2(size), 16),
    )
    return out


if triton:

    @triton.jit
    def _min_plus_kernel(field, labels, spacing_mm, out, size, lines_per_mask, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
        """One block of ROWS voxels i of one line against all voxels j of that line, padded to COLUMNS."""
        line = tl.program_id(0)
        i = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
        j = tl.arange(0, COLUMNS)
        label_i = tl.load(labels + line * size + i, mask=i < size)
        label_j = tl.load(labels + line * size + j, mask=j < size)
        field_j = tl.load(field + line * size + j, mask=j < size)
        step = (i[:, None] - j[None, :]).to(tl.float32) * tl.load(spacing_mm + line // lines_per_mask)
        pairs = tl.where(label_i[:, None] == label_j[None, :], field_j[None, :], 0.0) + step * step
        nearest = tl.min(tl.where(j[None, :] < size, pairs, float("inf")), axis=1)
        tl.store(out + line * size + i, nearest, mask=i < size)


@functools.cache
def _kernel_runs(device: torch.device) -> bool:
    """Whether it does, which takes Triton and a C compiler; a warning where it does not."""
    if triton is None:
        reason = "Triton is not installed"
    else:
        try:
            probe = torch.zeros(1, 1, 1, 2, device=device)
            _triton_pass(probe, probe > 0, probe[0, 0, 0, :1])
            return True
        except Exception as error:  # no compiler, no headers, a GPU too old: each fails in its own way
            reason = f"{type(error).__name__}: {error}"
    warnings.warn(f"distances on the CPU, not by the Triton kernel ({reason})", stacklevel=2)
    return False
