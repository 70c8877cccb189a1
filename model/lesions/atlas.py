"""A newborn's normal ADC at each place of the brain, and what it says about a case that was registered to it.

Arrays are (z, y, x) in the canonical order, ADC in 1e-6 mm2/s.
"""

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from model.images.brain import brain_mask
from model.images.registered import GRID_MM, Registration, box_mm, relative, sampled
from model.lesions.brain_map import BrainMap, Spacing

SMOOTHING_MM = (1.5, 3.0)
BUILT_IN = "built-in"
LARGEST_Z = 10.0  # to which Z by the atlas is cut, as the published maps are
MAPS_MM = 4.0  # voxels of the maps
MAPS = (
    "atlas_lesion_share",  # of the cases' brain there
    "atlas_low_share",  # of it: Z below -2 without a lesion
    "atlas_healthy_z",  # mean outside lesions
    "atlas_adc_sd",  # 1e-3 mm2/s, over cases and voxels near, without regard to Z
)
ATLAS_FEATURES = (
    "atlas_mean",  # 1e-3 mm2/s
    "atlas_sd",
    "atlas_z",
    *(f"atlas_z_smooth_{mm:g}mm" for mm in SMOOTHING_MM),
    "atlas_z_median",  # of the whole case
    "atlas_place_z",  # 0 to 1 in the box of the atlas's brain
    "atlas_place_y",
    "atlas_off_middle",  # 0 to 0.5
    *MAPS,
)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Mean and standard deviation over normal newborns, float32 with voxels of GRID_MM, both 0 where they are not known.

    maps: what else is known of each place, float32 (z, y, x, map) with voxels of MAPS_MM, in the order of MAPS.
    """

    mean: np.ndarray
    sd: np.ndarray
    maps: np.ndarray
    name: str = BUILT_IN  # for results.json

    @classmethod
    def of_arrays(cls, shape: np.ndarray, known: np.ndarray, mean: np.ndarray, sd: np.ndarray, maps: np.ndarray) -> "Atlas":
        """What `arrays` gave."""
        size = tuple(shape.tolist())
        inside = np.unpackbits(known, count=int(np.prod(size))).astype(bool).reshape(size)
        parts = (np.zeros(size, np.float32), np.zeros(size, np.float32))
        for part, values in zip(parts, (mean, sd), strict=True):
            part[inside] = values
        return cls(*parts, maps.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as they are stored: mean and standard deviation where they are known, and maps, in half precision."""
        known = self.mean > 0
        values = {name: getattr(self, name)[known].astype(np.float16) for name in ("mean", "sd")}
        values["maps"] = self.maps.astype(np.float16)
        return {"shape": np.array(known.shape), "known": np.packbits(known)} | values

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of what was measured of it, mean and standard deviation."""
        measured = (array.tobytes() for name, array in self.arrays().items() if name != "maps")
        return hashlib.sha256(b"".join(measured)).hexdigest()

    @functools.cached_property
    def template(self) -> np.ndarray:
        """What cases are registered to."""
        return relative(self.mean)

    @functools.cached_property
    def box(self) -> np.ndarray:
        """Lower and upper side of its brain, (2, 3) in mm."""
        return box_mm(np.argwhere(self.mean > 0) * GRID_MM)

    def register(self, adc: np.ndarray, spacing_mm: Spacing) -> Registration:
        """Where each voxel of a brain lies in the atlas."""
        from model.images.registration import register  # and SimpleITK only now

        found = register(adc, spacing_mm, self.template, self.box)
        ratio = float(np.median(adc[brain_mask(adc)] / self.at(found.places)[0]))
        return replace(found, atlas=self.name, adc_ratio=ratio)

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation at places in voxels, (place, 3); of the whole brain where nothing near is known."""
        known = self.mean > 0
        whole = np.array([1, self.mean[known].mean(), self.sd[known].mean()])
        share, *values = sampled(np.stack([known, self.mean, self.sd], -1).astype(np.float32), places).T
        near = share > 1e-3
        mean, sd = (np.where(near, v / np.where(near, share, 1), w) for v, w in zip(values, whole[1:], strict=True))
        return mean, sd


def maps_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the maps of an atlas of that shape: its voxels at the same places, of MAPS_MM."""
    return tuple(math.ceil((size - 1) * GRID_MM / MAPS_MM) + 1 for size in shape)


def atlas_features(brain_map: BrainMap, atlas: Atlas, places: np.ndarray) -> list[np.ndarray | float]:
    """In the order of ATLAS_FEATURES, of every brain voxel; those of the whole case as one number.

    places: of the brain's voxels in the atlas, (voxels, 3), as `Registration` has them.
    """
    brain = brain_map.brain
    mean, sd = atlas.at(places)
    z = np.clip((brain_map.adc[brain] - mean) / sd, -LARGEST_Z, LARGEST_Z)
    filled = np.zeros(brain.shape)
    filled[brain] = z
    low, high = atlas.box / GRID_MM
    place_z, place_y, place_x = np.clip((places - low) / (high - low), -0.5, 1.5).T
    smooth = (brain_map.smooth(filled, mm)[brain] for mm in SMOOTHING_MM)
    maps = sampled(atlas.maps, places * (GRID_MM / MAPS_MM)).T
    return [mean / 1000, sd / 1000, z, *smooth, float(np.median(z)), place_z, place_y, np.abs(place_x - 0.5), *maps]
