"""Segmentations of 3D Slicer (.seg.nrrd): one segment, the brain's or the only one, as a mask.

Their voxels are labels, in one or more layers, over as much of the image as the segments need. What a label means stands in
the header's key/value pairs: `Segment0_Layer`, `Segment0_LabelValue`, `Segment0_Name`. Files of older versions lack the
first two and have a layer of 0 and 1 for each segment.
"""

import re
from pathlib import Path

from model.errors import UserError
from model.images.formats import nrrd
from model.images.grid import Volume, require_scalar_3d
from model.images.mask_words import said_of
from model.images.streams import read_file

SEGMENT_FIELD = re.compile(rb"^Segment(\d{1,4})_(ID|Name|Layer|LabelValue):=(.*?)\r?$", re.MULTILINE)
FRACTIONAL = re.compile(rb"^Segmentation_\w+Representation:=Fractional", re.MULTILINE)
BRAIN = re.compile(r"(whole[-_ ]?)?brain([-_ ]?mask)?")


def read_segmentation(path: Path, *, of_brain: bool = True) -> Volume:
    """As `nrrd.read_nrrd`, with 1 in the segment of the brain and 0 elsewhere.

    That segment is the only one, or the only one that is called brain; without `of_brain` the only one, whatever it is
    called. Raises ValueError where the file is cut off or damaged, UserError where no such segment is in it, or others are
    in its layer.
    """
    file = read_file(path)
    fields, start = nrrd.read_header(file.data[: nrrd.HEADER_LIMIT])
    head = file.data[:start]
    if FRACTIONAL.search(head):
        raise UserError(f"{path}: a fractional segmentation, expected a binary one")
    layer, label = _chosen(_segments(head), path, of_brain)
    axes, layers = nrrd.axes_of(fields), 1
    axis = None if len(axes["sizes"]) == 3 else 3 if fields.get("space directions", "").endswith("none") else 0
    if axis is not None:
        layers = int(axes["sizes"][axis])
        axes = nrrd.without_axis(axes, axis)
    x, y, z = map(int, axes["sizes"])
    require_scalar_3d((x * layers, y, z), 1, path)
    grid = nrrd.grid_of(axes, fields, path)
    if layer >= layers:
        raise UserError(f"{path}: its header puts the segment in layer {layer + 1}, found {layers}")
    voxels = nrrd.voxels_of(file, start, fields)
    labels = voxels.reshape(layers, z, y, x)[layer] if axis == 3 else voxels.reshape(z, y, x, layers)[..., layer]
    mask = labels == label
    if (labels[~mask] != 0).any():
        raise UserError(f"{path}: other segments are in the layer of the one that is used; export that one alone")
    return nrrd.volume_of(mask, grid, path, fields, file)


def _segments(head: bytes) -> list[dict[str, str]]:
    """What the header says of each segment."""
    found: dict[int, dict[str, str]] = {}
    for number, what, value in SEGMENT_FIELD.findall(head):
        found.setdefault(int(number), {})[what.decode()] = value.decode("utf-8", errors="replace").strip()
    return [found[number] for number in sorted(found)]


def _chosen(segments: list[dict[str, str]], path: Path, of_brain: bool) -> tuple[int, int]:
    """Layer and label. What segments are called is not told: it may be a patient's name."""
    if not of_brain and len(segments) != 1:
        raise UserError(f"{path}: expected one segment, found {len(segments)}")
    names = [segment.get("Name", segment.get("ID", "")).casefold() for segment in segments]
    if of_brain and len(segments) == 1:
        brain, parts, is_other = said_of(re.findall(r"[^\W_]+", names[0]))
        if is_other or (parts and not brain):
            raise UserError(f"{path}: its segment is called a lesion, a part or the like, expected a brain")
    wanted = [0] if len(segments) == 1 else [n for n, name in enumerate(names) if BRAIN.fullmatch(name)]
    if len(wanted) != 1:
        raise UserError(f"{path}: expected one segment, or one called brain, found {len(segments)} and {len(wanted)}")
    (number,) = wanted
    try:
        layer, label = int(segments[number].get("Layer", number)), int(segments[number].get("LabelValue", 1))
    except ValueError:
        raise UserError(f"{path}: expected whole numbers as its segment's layer and label") from None
    if layer < 0 or label == 0:
        raise UserError(f"{path}: its segment has layer {layer} and label {label}, expected 0 or more and not 0")
    return layer, label
