"""Segmentations of 3D Slicer (.seg.nrrd): one segment, the brain's or the only one, as a mask.

Their voxels are labels, in one or more layers, over as much of the image as the segments need. What a label means stands in
the header's key/value pairs: `Segment0_Layer`, `Segment0_LabelValue`, `Segment0_Name`. Files of older versions lack the
first two and have a layer of 0 and 1 for each segment.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from model.errors import UserError
from model.images.formats import nrrd
from model.images.grid import require_scalar_3d
from model.images.mask_words import said_of
from model.images.space import space_by_fields
from model.images.streams import PlainFile, read_file

SEGMENT_FIELD = re.compile(rb"^Segment(\d{1,4})_(ID|Name|Layer|LabelValue):=(.*?)\r?$", re.MULTILINE)
FRACTIONAL = re.compile(rb"^Segmentation_\w+Representation:=Fractional", re.MULTILINE)
BRAIN = re.compile(r"(whole[-_ ]?)?brain([-_ ]?mask)?")


def read_plain(path: Path, *, of_brain: bool = True) -> PlainFile:
    """As `nrrd.read_plain`, of one plain NRRD file with 1 in the segment of the brain and 0 elsewhere.

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
    sizes, axis = fields.get("sizes", "").split(), _list_axis(fields)
    one = nrrd.one_volume(fields if axis is None else fields | {"sizes": " ".join([*sizes[:axis], "1", *sizes[axis + 1 :]])})
    nrrd.require_spacing(one, path)
    x, y, z = (int(word) for word in one["sizes"].split())
    layers = 1 if axis is None else int(sizes[axis])
    require_scalar_3d((x * layers, y, z), 1, path)
    if layer >= layers:
        raise UserError(f"{path}: its header puts the segment in layer {layer + 1}, found {layers}")
    voxels = np.frombuffer(nrrd.voxels_of(file, start, fields), nrrd.dtype_of(fields))
    labels = voxels.reshape(layers, z, y, x)[layer] if axis == 3 else voxels.reshape(z, y, x, layers)[..., layer]
    mask = labels == label
    if (labels[~mask] != 0).any():
        raise UserError(f"{path}: other segments are in the layer of the one that is used; export that one alone")
    header = nrrd.plain_header(one | {"type": "uint8"})
    space = space_by_fields(fields, oriented=one.get("space") in nrrd.ORIENTED)
    sha256 = hashlib.sha256(file.data).hexdigest()
    return PlainFile(header, mask.astype(np.uint8).tobytes(), space, sha256, nrrd.ITK_READER)


def _list_axis(fields: nrrd.Fields) -> int | None:
    """The axis of the layers, the first or the last of four; None where there is none."""
    if fields.get("dimension") != "4":
        return None
    return 3 if fields.get("space directions", "").endswith("none") else 0


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
