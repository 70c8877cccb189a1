"""Random changes of a brain crop: MONAI transforms, computed on the crop's own device."""

import dataclasses
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianNoised,
    RandomizableTransform,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialPadd,
)

from training.data.dataset import Sample

MAPS = ("zadc", "adc", "trees")  # the order of the network's channels; not every network has the last
WIDTH_AXIS = 2  # of (z, y, x): left-right in the published axial grids


class DeviceNoise(RandGaussianNoise):
    """MONAI's noise, drawn where the image lies: numpy's draw would be copied to a GPU, image by image."""

    def __init__(self, seed: int, device: torch.device | str, **options: Any) -> None:
        super().__init__(**options)
        self._generator = torch.Generator(device).manual_seed(seed)

    def randomize(self, img: Any, mean: float | None = None) -> None:
        """Draw whether there is noise, how much, and the noise."""
        RandomizableTransform.randomize(self, None)
        if not self._do_transform:
            return
        sd = self.R.uniform(0, self.std) if self.sample_std else self.std
        self.noise: Any = sd * torch.randn(img.shape, generator=self._generator, device=img.device)


class Augmentation:
    """Left-right flip, in-plane rotation and zoom, a patch, intensity changes, noise; what lies outside the brain stays 0.

    patch: (z, y, x) voxels to cut out, around a lesion voxel every other time where there is one; () takes the whole brain.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu", patch: tuple[int, ...] = ()) -> None:
        here: dict[str, Any] = {"allow_missing_keys": True}
        cut = [
            SpatialPadd((*MAPS, "target"), patch, **here),
            RandCropByPosNegLabeld(
                (*MAPS, "target"), label_key="target", spatial_size=patch, num_samples=1, image_key="adc", **here
            ),
        ]
        noise = RandGaussianNoised("zadc", prob=0.3)
        noise.rand_gaussian_noise = DeviceNoise(seed, device, prob=1.0, std=0.2)
        self._transform = Compose(
            [
                RandFlipd((*MAPS, "target"), prob=0.5, spatial_axis=WIDTH_AXIS, **here),
                RandAffined(
                    (*MAPS, "target"),
                    prob=0.5,
                    rotate_range=(np.pi / 12, 0, 0),  # about z: in plane, where the pixels are square
                    scale_range=(0.05, 0.15, 0.15),
                    mode=(*("bilinear" for _ in MAPS), "nearest"),
                    padding_mode="zeros",
                    device=torch.device(device),
                    **here,
                ),
                *(cut if patch else ()),
                RandShiftIntensityd("zadc", offsets=0.3, prob=0.5),
                RandScaleIntensityd("zadc", factors=0.1, prob=0.5),
                RandScaleIntensityd("adc", factors=0.1, prob=0.5),
                noise,
            ]
        ).set_random_state(seed)

    def __call__(self, sample: Sample) -> Sample:
        names = MAPS[: len(sample.inputs)]
        arrays = {name: sample.inputs[i : i + 1] for i, name in enumerate(names)}
        changed = self._transform({**arrays, "target": sample.target})
        changed = changed[0] if isinstance(changed, list) else changed  # a crop comes as a list of one
        maps = [changed[name].as_tensor() for name in names]
        brain = maps[MAPS.index("adc")] > 0
        inputs = torch.cat([torch.where(brain, channel, 0) for channel in maps])
        return dataclasses.replace(sample, inputs=inputs, target=changed["target"].as_tensor())
