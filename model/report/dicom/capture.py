"""The report's slices as one colour image with the volumes written on it, for archives that cannot show a segmentation.

Nothing on it names the patient: no name of a case, no identifier, no date.
"""

import io

import highdicom as hd
import numpy as np
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

import model
from model.images.case import Case
from model.report.dicom.segmentation import MAKER, USE, instance_of, made_with, without_now
from model.report.dicom.source import Source
from model.report.montage import ADC_WINDOW, MASK_COLOUR, Z_WINDOW, View, caption, choose_slices, make_view, map_pngs
from model.report.numbers import percent, volume
from model.report.results import REVIEW
from model.report.wording import ESTIMATED, is_estimated, z_map_name

SERIES_NUMBER = 9002
PIXELS_PER_MM = 2.0
LARGEST_MAP = 240  # pixels along a side; larger ones are drawn smaller
COLUMNS = 4  # slices beside each other
TEXT, SMALL = 22, 14  # heights in pixels
GAP = 8
LINE_GAP = 6
FEET_AND_HEAD = str.maketrans("IS", "FH")  # as DICOM calls the patient's bottom and top
INK, LETTERS, RIM = "white", "lightgrey", "black"


def capture(source: Source, case: Case, mask: np.ndarray, results: dict) -> SCImage:
    """The object for a boolean (z, y, x) mask and what results.json holds. The same input gives the same bytes."""
    pixels = draw(case, mask, results["lesion_list"], sentences(case, mask, results))
    image = source.images[0]
    made_of = ("capture", image.SeriesInstanceUID, image.SOPInstanceUID, pixels.tobytes(), *made_with(results).values())
    _, bottom, _, right = (letter.translate(FEET_AND_HEAD) for letter in make_view(case).letters)
    made = SCImage(
        pixel_array=pixels,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        study_instance_uid=image.StudyInstanceUID,
        series_number=SERIES_NUMBER,
        **instance_of(source, made_of),
        patient_orientation=(right, bottom),
        series_description="HIE lesions, slices (research use)",
    )
    made.BodyPartExamined = "BRAIN"
    made.BurnedInAnnotation = "NO"  # which asks for the patient's identity, not for text
    made.RecognizableVisualFeatures = "NO"
    made.LossyImageCompression = "00"
    made.DerivationDescription = f"Slices of the ADC and the Z map with the outline of HIE lesions; {USE}"
    made.SourceImageSequence = [Dataset() for _ in source.images]
    for item, of in zip(made.SourceImageSequence, source.images, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = of.SOPClassUID, of.SOPInstanceUID
    without_now(made)
    source.put_identity(made)
    return made


def sentences(case: Case, mask: np.ndarray, results: dict) -> list[str]:
    """What is written above the slices: volumes, use, how it was made, what is shown."""
    share, brain_ml = percent(results["lesion_share_of_brain"]), volume(results["brain_volume_ml"])
    found = f"HIE lesions: {volume(results['lesion_volume_ml'])} ml, {share} % of the brain ({brain_ml} ml)"
    z_map = ESTIMATED if is_estimated(results) else f"Z map {results['z_map']}"
    made_by = f"{USE.capitalize()}. {MAKER} {model.__version__}, weights {results['weights']}. {z_map}."
    scales = "ADC: {} to {} x 10^-6 mm2/s; {}: {} (blue) to {} (red); yellow: outline of the mask"
    shown = choose_slices(mask, case.brain, results["lesion_list"])[1]
    reviewed = f" Reviewed by a reader on {results[REVIEW]['time'][:10]}." if REVIEW in results else ""
    return [found, f"{made_by}{reviewed}", f"{shown} {scales.format(*ADC_WINDOW, z_map_name(results), *Z_WINDOW)}."]


def draw(case: Case, mask: np.ndarray, lesions: list[dict], lines: list[str]) -> np.ndarray:
    """The image, (rows, columns, RGB) uint8: lines of text above the slices that the report shows, ADC beside Z map."""
    view, (indices, _) = make_view(case), choose_slices(mask, case.brain, lesions)
    figures = [_figure(case, mask, index, view) for index in indices]
    width, height = figures[0].size
    columns = min(COLUMNS, len(figures))
    fonts = [ImageFont.load_default(TEXT), *[ImageFont.load_default(SMALL)] * (len(lines) - 1)]
    boxes = [font.getbbox(line) for font, line in zip(fonts, lines, strict=True)]
    top = GAP + sum(int(box[3]) + LINE_GAP for box in boxes) + GAP
    rows = -(-len(figures) // columns)
    full_width = max(GAP + columns * (width + GAP), *(int(box[2]) + 2 * GAP for box in boxes))
    image = Image.new("RGB", (full_width, top + rows * (height + GAP)))
    pen, y = ImageDraw.Draw(image), GAP
    for font, line, box in zip(fonts, lines, boxes, strict=True):
        pen.text((GAP, y), line, INK, font)
        y += int(box[3]) + LINE_GAP
    for number, figure in enumerate(figures):
        row, column = divmod(number, columns)
        image.paste(figure, (GAP + column * (width + GAP), top + row * (height + GAP)))
    return np.asarray(image)


def _figure(case: Case, mask: np.ndarray, index: int, view: View) -> Image.Image:
    """A slice as the report shows it, with its caption and the letters of the patient's sides."""
    marked = view.cut(mask[index])
    size_mm = [n * mm for n, mm in zip(marked.shape, view.pixel_mm, strict=True)]
    scale = min(PIXELS_PER_MM, LARGEST_MAP / max(size_mm))
    height, width = (max(1, round(mm * scale)) for mm in size_mm)
    font = ImageFont.load_default(SMALL)
    figure = Image.new("RGB", (2 * width + GAP, height + SMALL + LINE_GAP))
    edge = Image.fromarray(_edge(np.asarray(Image.fromarray(marked).resize((width, height), Image.Resampling.NEAREST))))
    for number, png in enumerate(map_pngs(case, view, index)):
        left = number * (width + GAP)
        with Image.open(io.BytesIO(png)) as opened:
            figure.paste(opened.convert("RGB").resize((width, height), Image.Resampling.NEAREST), (left, 0))
        figure.paste(f"#{MASK_COLOUR}", (left, 0), edge)
    pen = ImageDraw.Draw(figure)
    top, bottom, left_letter, right = view.letters
    upright, level = ((top, 0, "ma"), (bottom, height, "md")), ((left_letter, 2, "lm"), (right, width - 2, "rm"))
    places = [(letter, width // 2, y, anchor) for letter, y, anchor in upright]
    places += [(letter, x, height // 2, anchor) for letter, x, anchor in level]
    for left in (0, width + GAP):
        for letter, x, y, anchor in places:
            pen.text((left + x, y), letter, LETTERS, font, anchor=anchor, stroke_width=1, stroke_fill=RIM)
    pen.text((0, height + 2), caption(mask, view, index).replace("²", "2"), INK, font)
    return figure


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a boolean (rows, columns) mask that touch its outside, along rows or columns."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
