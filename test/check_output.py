"""Compares a container's output folder with the expected mask, the way the platform and a radiologist would.

Example:

    python test/check_output.py out --expected test/case/expected.mha --adc test/case/input/images/.../adc.mha

Checks one image in the mask folder, uint8 with labels 0 and 1 only, the ADC map's geometry, the expected voxels within a
tolerance, and that panimg, the platform's own importer, takes the file. Exit code 1 and a line per difference when not.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import panimg
import SimpleITK as sitk
from panimg.image_builders.metaio_mhd_mha import image_builder_mhd

MASK_FOLDER = "images/hie-lesion-segmentation"
GEOMETRY = ("Size", "Spacing", "Origin", "Direction")
KEYS = {"lesion_volume_ml", "lesion_share_of_brain", "lesions", "seconds", "device", "weights"}  # of results.json


def differences(output: Path, expected: Path, adc: Path, max_voxels: int) -> list[str]:
    """What is wrong with the output, a line each; empty when it is as expected."""
    found = sorted(path.name for path in (output / MASK_FOLDER).iterdir())
    if found != ["overlay.mha"]:
        return [f"expected overlay.mha alone in the mask folder, found {found}"]
    path = output / MASK_FOLDER / "overlay.mha"
    mask, wanted = sitk.ReadImage(str(path)), sitk.ReadImage(str(expected))
    places = ((name, *(getattr(image, f"Get{name}")() for image in (mask, sitk.ReadImage(str(adc))))) for name in GEOMETRY)
    wrong = [f"{name}: {found} instead of {of_adc}" for name, found, of_adc in places if found != of_adc]
    if mask.GetPixelID() != sitk.sitkUInt8:
        wrong.append(f"pixels are {mask.GetPixelIDTypeAsString()}, expected 8-bit unsigned")
    voxels, reference = sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(wanted)
    if not np.isin(voxels, (0, 1)).all():
        wrong.append(f"labels are {np.unique(voxels).tolist()}, expected 0 and 1")
    if voxels.shape != reference.shape:
        return [*wrong, f"shape {voxels.shape}, expected {reference.shape}"]
    differing = int(np.count_nonzero(voxels != reference))
    print(f"{differing} of {int(reference.sum())} lesion voxels differ from the expected mask (allowed: {max_voxels})")
    if differing > max_voxels:
        wrong.append(f"{differing} voxels differ from the expected mask, allowed are {max_voxels}")
    if missing := sorted(KEYS - json.loads((output / "results.json").read_text()).keys()):
        wrong.append(f"results.json lacks {', '.join(missing)}")
    return wrong + _panimg_refusals(path)


def _panimg_refusals(path: Path) -> list[str]:
    """Run the platform's importer on a copy of the mask."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        target.mkdir()
        (source / path.name).write_bytes(path.read_bytes())
        result = panimg.convert(input_directory=source, output_directory=target, builders=[image_builder_mhd])
    errors = [f"panimg: {message}" for messages in result.file_errors.values() for message in messages]
    return errors if len(result.new_images) == 1 else [*errors, f"panimg found {len(result.new_images)} images, expected 1"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the container's output folder")
    parser.add_argument("--expected", type=Path, required=True, help="mask to compare with")
    parser.add_argument("--adc", type=Path, required=True, help="ADC map whose geometry the mask must have")
    parser.add_argument("--max-voxels", type=int, default=10, help="that may differ (default: %(default)s)")
    args = parser.parse_args()
    wrong = differences(args.output, args.expected, args.adc, args.max_voxels)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
