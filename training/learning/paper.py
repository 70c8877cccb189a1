"""The study's way from a case to its network and back (arXiv 2502.09148), and its augmentation. Arrays are (z, y, x).

Unlike in `training.data.dataset`, the whole field of view is resampled to one grid and scaled by its own statistics.
Nothing is cropped or masked to the brain, neither before the network nor after it.
"""

import dataclasses
import math
from typing import cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import nn
from torch.nn import functional

from model.errors import UserError
from training.data.augment import DeviceNoise
from training.data.dataset import PackedCase, Sample

GRID = (32, 192, 192)  # (z, y, x): the study's 192x192x32 in the order x, y, z

PROBABILITY = 0.5  # of each of the five changes
NOISE_SD = 0.01  # of the z-scored maps' unit
COARSENING = (1.2, 2.0)  # factor by which one axis loses voxels
BLUR_SD_MM = (0.0, 0.5)  # per axis; published without a unit, TorchIO's is mm
LOG_GAMMA = (-0.1, 0.1)
CONTROL_POINTS = 7  # per axis; TorchIO's defaults for its elastic deformation, since the study names none
MAX_DISPLACEMENT_MM = 7.5  # per axis at a control point
LOCKED_BORDERS = 2  # outer layers of control points that stay


def to_paper_sample(case: PackedCase, device: torch.device) -> Sample:
    """The whole volume on GRID, each map z-scored over all voxels, the background included.

    Maps are interpolated linearly, the label to the nearest voxel. `spacing_mm` is the spacing on GRID.
    Raises UserError when a map is constant.
    """
    maps = np.stack([case.zadc, case.adc]).astype(np.float32)
    inputs = _resample(torch.from_numpy(maps).to(device), GRID)
    deviation = inputs.std(dim=(1, 2, 3), keepdim=True, correction=0)
    if not (deviation > 0).all():
        raise UserError(f"{case.name}: a map of one value, which the paper protocol cannot scale by its deviation")
    inputs = (inputs - inputs.mean(dim=(1, 2, 3), keepdim=True)) / deviation
    label = torch.from_numpy(case.label.astype(np.float32))[None].to(device)
    target = functional.interpolate(label[None], GRID, mode="nearest-exact")[0]
    spacing_mm = [mm * old / new for mm, old, new in zip(case.spacing_mm, case.label.shape, GRID, strict=True)]
    return Sample(inputs, target, torch.tensor(spacing_mm))


def _resample(maps: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(channel, z, y, x) to another shape over the same field of view: the edges of the outer voxels stay where they are."""
    return functional.interpolate(maps[None], shape, mode="trilinear", align_corners=False)[0]


@torch.inference_mode()
@torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
def paper_mask(network: nn.Module, case: PackedCase, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """The masks on the patient's grid and on GRID, both boolean (z, y, x): probability above one half.

    The first comes from the resampled probabilities, not from the second. Leaves the network in evaluation mode. Raises
    UserError when the network's answer is not finite.
    """
    network.eval()
    logits = network(to_paper_sample(case, device).inputs[None])[0, 0]
    if not logits.isfinite().all():
        raise UserError(f"{case.name}: the network's answer is not finite, no mask can be drawn from it")
    probabilities = torch.sigmoid(logits.float())
    on_patient_grid = _resample(probabilities[None], case.adc.shape)[0]
    return (on_patient_grid > 0.5).cpu().numpy(), (probabilities > 0.5).cpu().numpy()


class PaperAugmentation:
    """Noise, anisotropy, blur, gamma and elastic deformation, in this order, each with probability one half.

    Where the study gives a name and a range only, the rest is TorchIO's (doi 10.1016/j.cmpb.2021.106236), whose transforms
    have these names. The noise is MONAI's transform; the others have no counterpart there: MONAI coarsens all axes at once,
    its blur counts in voxels and fades at the border, its gamma acts on the range 0..1, and its elastic deformation has no
    control points. Only the elastic deformation touches the label, as with TorchIO's defaults. The background changes too:
    it is part of the picture.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        """device: that of the samples, where everything is computed."""
        self._device = torch.device(device)
        self._random = np.random.RandomState(seed)
        self._noise = DeviceNoise(seed, device, prob=PROBABILITY, std=NOISE_SD, sample_std=False)
        self._noise.set_random_state(state=self._random)  # shared: one stream of numbers for all changes

    def __call__(self, sample: Sample) -> Sample:
        inputs, target, random = sample.inputs, sample.target, self._random
        spacing_mm = sample.spacing_mm.tolist()
        inputs = cast(MetaTensor, self._noise(inputs)).as_tensor()
        if self._chosen():
            inputs = coarsen(inputs, axis=random.randint(3), factor=random.uniform(*COARSENING))
        if self._chosen():
            inputs = torch.cat([blur(m, random.uniform(*BLUR_SD_MM, size=3) / spacing_mm) for m in inputs.split(1)])
        if self._chosen():
            inputs = torch.cat([signed_power(m, math.exp(random.uniform(*LOG_GAMMA))) for m in inputs.split(1)])
        if self._chosen():
            grid = sampling_grid(control_points_mm(random).to(self._device), inputs.shape[1:], spacing_mm)
            inputs, target = read_at(inputs, grid, "bilinear"), read_at(target, grid, "nearest")
        return dataclasses.replace(sample, inputs=inputs, target=target)

    def _chosen(self) -> bool:
        return self._random.uniform() < PROBABILITY


def coarsen(maps: torch.Tensor, axis: int, factor: float) -> torch.Tensor:
    """Maps (channel, z, y, x) as if one axis had been sampled `factor` times more thinly: nearest voxel down, linear up."""
    shape = list(maps.shape[1:])
    shape[axis] = math.ceil(shape[axis] / factor)
    return _resample(functional.interpolate(maps[None], shape, mode="nearest-exact")[0], maps.shape[1:])


def blur(maps: torch.Tensor, sd_voxels: np.ndarray) -> torch.Tensor:
    """Maps (channel, z, y, x) under a Gaussian with standard deviations (z, y, x); border voxels are repeated outwards."""
    kernels = [gaussian_1d(torch.tensor(float(sd)), normalize=True) for sd in sd_voxels]
    return separable_filtering(maps[None], kernels, mode="replicate")[0]


def signed_power(maps: torch.Tensor, exponent: float) -> torch.Tensor:
    """sign(v) |v|^exponent: z-scored maps are negative in places."""
    return maps.sign() * maps.abs() ** exponent


def control_points_mm(random: np.random.RandomState) -> torch.Tensor:
    """Displacements (3, 7, 7, 7), components (z, y, x) in mm, uniform and 0 in the locked layers."""
    free = CONTROL_POINTS - 2 * LOCKED_BORDERS
    points = random.uniform(-MAX_DISPLACEMENT_MM, MAX_DISPLACEMENT_MM, size=(3, free, free, free))
    return functional.pad(torch.from_numpy(points).float(), (LOCKED_BORDERS,) * 6)


def sampling_grid(points_mm: torch.Tensor, shape: tuple[int, ...], spacing_mm: list[float]) -> torch.Tensor:
    """Where each voxel of `shape` is read from: its centre plus a displacement, as grid_sample takes it (1, z, y, x, 3).

    points_mm: control points (3, n, n, n) of a cubic B-spline, components (z, y, x), one layer of them outside the volume.
    """
    z, y, x = (_spline_weights(size, points_mm.shape[1]).to(points_mm) for size in shape)
    moved_mm = torch.einsum("cijk,xk,yj,zi->czyx", points_mm, x, y, z)
    width_mm = torch.tensor(spacing_mm).to(moved_mm) * torch.tensor(shape).to(moved_mm)
    moved = moved_mm * (2 / width_mm)[:, None, None, None]  # in grid_sample's unit the volume is 2 wide
    identity = functional.affine_grid(torch.eye(3, 4).to(moved)[None], [1, 1, *shape], align_corners=False)
    return identity + moved.flip(0).permute(1, 2, 3, 0)  # its order is (x, y, z)


def read_at(image: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """The image (channel, z, y, x) at the points of `sampling_grid`; past the border its last voxel goes on."""
    return functional.grid_sample(image[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]


def _spline_weights(size: int, points: int) -> torch.Tensor:
    """How much each control point counts at each voxel of one axis: (size, points), rows sum to 1.

    `points` - 3 intervals span the axis from edge to edge; control point 1 lies on its near edge.
    """
    at = (torch.arange(size) + 0.5) * (points - 3) / size
    distance = (at[:, None] + 1 - torch.arange(points)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    return torch.where(distance < 1, near, (2 - distance).clamp(min=0) ** 3 / 6)
